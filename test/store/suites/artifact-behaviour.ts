import assert from 'node:assert/strict'
import { readFile, symlink } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { CorruptError, FencedError, InputError } from '../../../src/errors.ts'
import {
  commitArtifact,
  findArtifact,
  openArtifact,
  quarantineArtifact,
  stageDigest,
} from '../../../src/store/artifact.ts'
import { acquireLease } from '../../../src/store/lease.ts'
import { folderWith, keysOf, randomContent, scratchFolder } from '../support/scratch.ts'
import type { OpenFresh } from '../support/scratch.ts'

const identity = { stage: 'clean', version: 1, inputs: { rows: 'abc' }, settings: { html: 'strip' } }
const digest = stageDigest(identity)
const by = (attempt: string) => ({ ...identity, digest, attempt })
const FILES = { 'rows.jsonl': '{"a":1}\n', 'deep/model.bin': randomContent(1000) }

export function artifactBehaviour(open: OpenFresh): void {
  test('an artifact is found by its digest and opened with the bytes that were committed', async (t) => {
    const store = await open(t)
    assert.equal(await findArtifact(store, { stage: 'clean', digest }), undefined)
    const manifest = await commitArtifact(store, by('a1'), await folderWith(t, FILES), { rows: 1 })
    assert.deepEqual(await findArtifact(store, { stage: 'clean', digest }), manifest)
    assert.deepEqual({ ...manifest, files: [] }, { ...by('a1'), files: [], summary: { rows: 1 } })
    assert.deepEqual(
      manifest.files.map(({ name, key, size }) => ({ name, key, size })),
      [
        { name: 'deep/model.bin', key: `artifacts/clean/${digest}/a1/deep/model.bin`, size: 1000 },
        { name: 'rows.jsonl', key: `artifacts/clean/${digest}/a1/rows.jsonl`, size: 8 },
      ],
    )
    const cache = await scratchFolder(t)
    for (let opening = 0; opening < 2; opening++) {
      const { dir } = await openArtifact(store, manifest, cache)
      for (const [name, content] of Object.entries(FILES)) {
        assert.deepEqual(await readFile(path.join(dir, name)), Buffer.from(content))
      }
    }
  })

  test('an artifact may have a summary and no files', async (t) => {
    const store = await open(t)
    const manifest = await commitArtifact(store, by('a1'), await scratchFolder(t), { loss: 2.5 })
    const { dir } = await openArtifact(store, manifest, await scratchFolder(t))
    assert.equal(manifest.files.length, 0)
    assert.ok(dir.length > 0)
  })

  test('of many attempts one manifest wins, all return it, and the files of the others are removed', async (t) => {
    const store = await open(t)
    const attempts = ['a1', 'a2', 'a3', 'a4']
    const manifests = await Promise.all(
      attempts.map(async (attempt) =>
        commitArtifact(store, by(attempt), await folderWith(t, { 'by.txt': attempt }), { attempt }),
      ),
    )
    const winner = manifests[0]?.attempt ?? ''
    for (const manifest of manifests) assert.deepEqual(manifest, manifests[0])
    assert.deepEqual(await keysOf(store, 'artifacts/'), [
      `artifacts/clean/${digest}/${winner}/by.txt`,
      `artifacts/clean/${digest}/manifest.json`,
    ])
  })

  test('what is committed already is not uploaded again', async (t) => {
    const store = await open(t)
    await commitArtifact(store, by('a1'), await folderWith(t, FILES), 1)
    const again = await commitArtifact(store, by('a2'), await folderWith(t, { other: 'x' }), 2)
    assert.deepEqual([again.attempt, again.summary], ['a1', 1])
    assert.equal((await keysOf(store)).length, 3)
  })

  test('nothing is to be found before the manifest', async (t) => {
    const store = await open(t)
    const folder = await folderWith(t, FILES)
    await symlink('/etc/hostname', path.join(folder, 'link'))
    await assert.rejects(commitArtifact(store, by('a1'), folder, 0), (error) => {
      assert.ok(error instanceof InputError)
      assert.match(error.message, /link is a link or a device/)
      return true
    })
    assert.equal(await findArtifact(store, { stage: 'clean', digest }), undefined)
  })

  test('a zombie commits nothing', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    await acquireLease(store, 'job', 'a2')
    await assert.rejects(
      commitArtifact(store, by('a1'), await folderWith(t, FILES), 0, { lease }),
      FencedError,
    )
    assert.equal(await findArtifact(store, { stage: 'clean', digest }), undefined)
  })

  for (const [how, content] of [
    ['shorter', 'x'],
    ['gone', undefined],
  ] as const) {
    test(`a stored file that is ${how} is corrupt; set aside, the artifact is made again`, async (t) => {
      const store = await open(t)
      const manifest = await commitArtifact(store, by('a1'), await folderWith(t, FILES), 0)
      const key = manifest.files[0]?.key ?? ''
      if (content === undefined) await store.remove(key)
      else await store.write(key, content, { kind: 'overwrite' })
      await assert.rejects(openArtifact(store, manifest, await scratchFolder(t)), CorruptError)

      await quarantineArtifact(store, manifest, 'a file is broken')
      await quarantineArtifact(store, manifest, 'a file is broken')
      assert.equal(await findArtifact(store, manifest), undefined)
      const again = await commitArtifact(store, by('a2'), await folderWith(t, FILES), 0)
      assert.equal(again.attempt, 'a2')
      assert.deepEqual(await findArtifact(store, manifest), again)
      await openArtifact(store, again, await scratchFolder(t))
      // Too late for a second opinion: the new manifest is not the one that was found corrupt.
      await quarantineArtifact(store, manifest, 'a file is broken')
      assert.deepEqual(await findArtifact(store, manifest), again)
    })
  }

  const hostile = {
    'a file name that climbs': { name: '../../escape', key: `artifacts/clean/${digest}/a1/../../escape` },
    'a key of another job': { name: 'lease.json', key: 'jobs/other/lease.json' },
    'a name that is not its key': { name: 'b', key: `artifacts/clean/${digest}/a1/a` },
  }
  for (const [what, file] of Object.entries(hostile)) {
    test(`a manifest with ${what} is refused`, async (t) => {
      const store = await open(t)
      const files = [{ ...file, size: 1, sha256: '0'.repeat(64) }]
      const manifest = { ...by('a1'), files, summary: 0 }
      await store.write(`artifacts/clean/${digest}/manifest.json`, JSON.stringify(manifest), {
        kind: 'absent',
      })
      await assert.rejects(findArtifact(store, { stage: 'clean', digest }), CorruptError)
    })
  }

  test('a manifest that is cut off is corrupt, not absent', async (t) => {
    const store = await open(t)
    await store.write(`artifacts/clean/${digest}/manifest.json`, '{"stage": "cl', { kind: 'absent' })
    await assert.rejects(findArtifact(store, { stage: 'clean', digest }), CorruptError)
  })
}
