import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { CorruptError, FencedError, InputError } from '../../../src/errors.ts'
import { acquireLease } from '../../../src/store/lease.ts'
import { currentVersion, listVersions, moveName, publishVersion } from '../../../src/store/model-registry.ts'
import type { Store } from '../../../src/store/store.ts'
import { folderWith, keysOf, storeWith, textOf } from '../support/scratch.ts'
import type { OpenFresh } from '../support/scratch.ts'

export function registryBehaviour(open: OpenFresh): void {
  const publish = async (
    t: Parameters<OpenFresh>[0],
    store: Store,
    contentKey: string,
    attempt = `of-${contentKey}`,
  ) =>
    publishVersion(store, 'bot', {
      contentKey,
      attempt,
      folder: await folderWith(t, { 'README.md': contentKey, 'adapter/adapter.bin': attempt }),
      summary: { loss: 1.5 },
    })
  const current = async (store: Store) => (await currentVersion(store, 'bot'))?.version

  test('each publication is the next version, and the name moves to it', async (t) => {
    const store = await open(t)
    assert.equal(await currentVersion(store, 'bot'), undefined)
    assert.deepEqual(await listVersions(store, 'bot'), [])
    for (const [index, key] of ['k1', 'k2', 'k3'].entries()) {
      const { version, created, manifest } = await publish(t, store, key)
      assert.deepEqual({ version, created }, { version: index + 1, created: true })
      assert.deepEqual(await currentVersion(store, 'bot'), manifest)
    }
    assert.deepEqual(
      (await listVersions(store, 'bot')).map(({ version, contentKey }) => `${version} ${contentKey}`),
      ['1 k1', '2 k2', '3 k3'],
    )
  })

  test('a retried publication is the same version, and moves the name only if its forerunner could not', async (t) => {
    const store = await open(t)
    await publish(t, store, 'k1')
    await publish(t, store, 'k2')
    const again = await publish(t, store, 'k1', 'second-attempt')
    assert.deepEqual([again.version, again.created, again.manifest.attempt], [1, false, 'of-k1'])
    assert.equal(await current(store), 2)
    assert.equal((await listVersions(store, 'bot')).length, 2)

    const killed = storeWith(store, {
      write: (key, bytes, condition) =>
        key.endsWith('current.json')
          ? Promise.reject(new Error('killed'))
          : store.write(key, bytes, condition),
    })
    await assert.rejects(publish(t, killed, 'k3'), /killed/)
    assert.equal(await current(store), 2)
    assert.equal((await publish(t, store, 'k3', 'second-attempt')).version, 3)
    assert.equal(await current(store), 3)
  })

  test('a name moved back stays there when an old publication is retried, and moves on with a new one', async (t) => {
    const store = await open(t)
    for (const key of ['k1', 'k2']) await publish(t, store, key)
    await moveName(store, 'bot', 1)
    await publish(t, store, 'k2', 'late')
    assert.equal(await current(store), 1)
    await publish(t, store, 'k3')
    assert.equal(await current(store), 3)
  })

  test('a name moves only to what is there and whole', async (t) => {
    const store = await open(t)
    await assert.rejects(moveName(store, 'bot', 1), /bot has no version 1; none is published/)
    const { manifest } = await publish(t, store, 'k1')
    await publish(t, store, 'k2')
    await assert.rejects(moveName(store, 'bot', 7), (error) => {
      assert.ok(error instanceof InputError)
      assert.match(error.message, /bot has no version 7; there are 1, 2/)
      return true
    })
    await store.remove(manifest.files[0]?.key ?? '')
    await assert.rejects(moveName(store, 'bot', 1), CorruptError)
    assert.equal(await current(store), 2)
  })

  test('publications at once get dense versions, and the name ends at the newest', async (t) => {
    const store = await open(t)
    const keys = ['k1', 'k2', 'k3', 'k4']
    const made = await Promise.all(keys.map((key) => publish(t, store, key)))
    assert.deepEqual(made.map(({ version }) => version).toSorted(), [1, 2, 3, 4])
    assert.equal(await current(store), 4)
    assert.deepEqual((await listVersions(store, 'bot')).map(({ contentKey }) => contentKey).toSorted(), keys)
    for (const { version, manifest } of made) {
      const prefix = `models/bot/versions/${version}/`
      assert.deepEqual(
        await keysOf(store, prefix),
        [...manifest.files.map(({ key }) => key), `${prefix}manifest.json`].toSorted(),
      )
    }
  })

  test('twins that publish the same at once make one version between them', async (t) => {
    const store = await open(t)
    const made = await Promise.all(['a1', 'a2', 'a3'].map((attempt) => publish(t, store, 'k', attempt)))
    assert.deepEqual(
      made.map(({ version }) => version),
      [1, 1, 1],
    )
    assert.equal(made.filter(({ created }) => created).length, 1)
    assert.equal((await keysOf(store, 'models/bot/versions/')).length, 3)
  })

  test('the number goes into the files before they are stored, anew where another took it', async (t) => {
    const store = await open(t)
    const folder = await folderWith(t, {})
    const asked: number[] = []
    const prepare = async (version: number) => {
      if (asked.push(version) === 1) await publish(t, store, 'other')
      await writeFile(path.join(folder, 'README.md'), `version ${version}`)
    }
    const publication = { contentKey: 'k', attempt: 'a1', folder, summary: 0, prepare }
    const { version, manifest } = await publishVersion(store, 'bot', publication)
    assert.deepEqual([asked, version], [[1, 2], 2])
    assert.equal(await textOf(store, manifest.files[0]?.key ?? ''), 'version 2')
    assert.deepEqual(await keysOf(store, 'models/bot/versions/1/a1/'), [])
  })

  test('a zombie publishes nothing', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    await acquireLease(store, 'job', 'a2')
    const folder = await folderWith(t, { f: 'x' })
    const publication = { contentKey: 'k', attempt: 'a1', folder, summary: 0 }
    await assert.rejects(publishVersion(store, 'bot', publication, { lease }), FencedError)
    assert.deepEqual(await listVersions(store, 'bot'), [])
    assert.equal(await currentVersion(store, 'bot'), undefined)
  })
}
