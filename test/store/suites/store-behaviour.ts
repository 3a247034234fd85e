import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { ConflictError, CorruptError, InputError } from '../../../src/errors.ts'
import { probeStore } from '../../../src/store/probe.ts'
import type { Store } from '../../../src/store/store.ts'
import { folderWith, keysOf, randomContent, scratchFolder, storeWith, textOf } from '../support/scratch.ts'
import type { OpenFresh } from '../support/scratch.ts'

/** What every store does, whatever it is made of. */
export function storeBehaviour(open: OpenFresh): void {
  test('a conditional creation happens once, and what was created is read, found and listed alike', async (t) => {
    const store = await open(t)
    assert.equal(await store.read('a/pointer.json'), undefined)
    assert.equal(await store.head('a/pointer.json'), undefined)
    const made = await store.write('a/pointer.json', 'one', { kind: 'absent' })
    assert.deepEqual({ key: made.key, size: made.size }, { key: 'a/pointer.json', size: 3 })
    assert.deepEqual(await store.head('a/pointer.json'), made)
    assert.equal((await store.read('a/pointer.json'))?.etag, made.etag)
    await assert.rejects(store.write('a/pointer.json', 'two', { kind: 'absent' }), ConflictError)
    assert.equal(await textOf(store, 'a/pointer.json'), 'one')
    for await (const object of store.list('')) assert.deepEqual(object, made)
  })

  test('a swap happens only to what was read, over many generations', async (t) => {
    const store = await open(t)
    const seen = [(await store.write('p', '0', { kind: 'absent' })).etag]
    for (let round = 1; round <= 40; round++) {
      const { etag } = await store.write('p', String(round), { kind: 'matches', etag: seen.at(-1) ?? '' })
      assert.equal((await store.head('p'))?.etag, etag)
      seen.push(etag)
    }
    assert.equal(new Set(seen).size, 41)
    for (const etag of seen.slice(0, -1)) {
      await assert.rejects(store.write('p', 'stale', { kind: 'matches', etag }), ConflictError)
    }
    await assert.rejects(store.write('p', 'x', { kind: 'absent' }), ConflictError)
    assert.equal(await textOf(store, 'p'), '40')
    assert.deepEqual(await keysOf(store), ['p'])
  })

  test('a swap of what is not there is a conflict and makes nothing', async (t) => {
    const store = await open(t)
    const { etag } = await store.write('other', 'x', { kind: 'absent' })
    await assert.rejects(store.write('missing', 'y', { kind: 'matches', etag }), ConflictError)
    assert.deepEqual(await keysOf(store), ['other'])
  })

  test('an unconditional write replaces what is there, swapped or not', async (t) => {
    const store = await open(t)
    await store.write('k', '1', { kind: 'overwrite' })
    const second = await store.write('k', '2', { kind: 'overwrite' })
    const third = await store.write('k', '3', { kind: 'matches', etag: second.etag })
    const fourth = await store.write('k', '4', { kind: 'overwrite' })
    assert.equal(await textOf(store, 'k'), '4')
    await assert.rejects(store.write('k', 'x', { kind: 'matches', etag: third.etag }), ConflictError)
    await store.write('k', '5', { kind: 'matches', etag: fourth.etag })
    assert.equal(await textOf(store, 'k'), '5')
  })

  test('of many creators one wins, and its bytes are there', async (t) => {
    const store = await open(t)
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, (_, writer) => store.write('race', `writer ${writer}`, { kind: 'absent' })),
    )
    const winners = tries.flatMap(({ status }, writer) => (status === 'fulfilled' ? [writer] : []))
    assert.equal(winners.length, 1)
    assert.equal(await textOf(store, 'race'), `writer ${winners[0]}`)
    for (const each of tries) if (each.status === 'rejected') assert.ok(each.reason instanceof ConflictError)
  })

  test('no increment of many writers is lost', async (t) => {
    const store = await open(t)
    await store.write('counter', '0', { kind: 'absent' })
    const increment = async () => {
      for (;;) {
        const now = await store.read('counter')
        assert.ok(now)
        const next = String(Number(Buffer.from(now.bytes)) + 1)
        try {
          await store.write('counter', next, { kind: 'matches', etag: now.etag })
          return
        } catch (error) {
          assert.ok(error instanceof ConflictError, String(error))
        }
      }
    }
    const writer = async () => {
      for (let round = 0; round < 5; round++) await increment()
    }
    await Promise.all(Array.from({ length: 6 }, writer))
    assert.equal(await textOf(store, 'counter'), '30')
  })

  test('a list has every key once, by any beginning of them', async (t) => {
    const store = await open(t)
    const keys = ['a-b/x', 'a/b', 'a/b-c/d', 'a/b.json', 'a/c/e/f', 'aa', 'z=1/y_2']
    for (const key of keys) await store.write(key, key, { kind: 'absent' })
    const swapped = await store.head('aa')
    await store.write('aa', 'again', { kind: 'matches', etag: swapped?.etag ?? '' })
    const sorted = keys.toSorted()
    assert.deepEqual(await keysOf(store), sorted)
    for (const prefix of ['a', 'a/', 'a/b', 'a/b-', 'a/c/e', 'a/c/e/f', 'b', 'z=1/']) {
      assert.deepEqual(
        await keysOf(store, prefix),
        sorted.filter((key) => key.startsWith(prefix)),
        prefix,
      )
    }
  })

  test('files go up and come down whole: empty, small, and larger than one part', async (t) => {
    const store = await open(t)
    const contents = {
      empty: Buffer.alloc(0),
      small: Buffer.from('small'),
      large: randomContent(17 * 1024 * 1024),
    }
    const folder = await folderWith(t, contents)
    const target = await scratchFolder(t)
    for (const [name, content] of Object.entries(contents)) {
      const key = `artifacts/x/${name}`
      const object = await store.upload(key, path.join(folder, name))
      assert.equal(object.size, content.length)
      assert.deepEqual(await store.head(key), object)
      await store.download(key, path.join(target, 'made', 'on-the-way', name))
      assert.ok(content.equals(await readFile(path.join(target, 'made', 'on-the-way', name))), name)
      const chunks: Buffer[] = []
      for await (const chunk of await store.stream(key)) chunks.push(chunk as Buffer)
      assert.ok(content.equals(Buffer.concat(chunks)), name)
    }
    await writeFile(path.join(folder, 'small'), 'smaller')
    await store.upload('artifacts/x/small', path.join(folder, 'small'))
    assert.equal(await textOf(store, 'artifacts/x/small'), 'smaller')
  })

  test('a stored file does not change with the file that it came from', async (t) => {
    const store = await open(t)
    const folder = await folderWith(t, { state: 'step 1' })
    await store.upload('state', path.join(folder, 'state'))
    await writeFile(path.join(folder, 'state'), 'step 2')
    assert.equal(await textOf(store, 'state'), 'step 1')
  })

  test('what is not there cannot be fetched, and nothing is left of the try', async (t) => {
    const store = await open(t)
    const folder = await scratchFolder(t)
    await assert.rejects(store.download('missing', path.join(folder, 'x')), CorruptError)
    await assert.rejects(store.stream('missing'), CorruptError)
    await assert.rejects(readFile(path.join(folder, 'x')), { code: 'ENOENT' })
  })

  test('an upload that is called off leaves nothing', async (t) => {
    const store = await open(t)
    const folder = await folderWith(t, { large: randomContent(17 * 1024 * 1024) })
    const controller = new AbortController()
    const upload = store.upload('large', path.join(folder, 'large'), { signal: controller.signal })
    controller.abort()
    await assert.rejects(upload)
    assert.deepEqual(await keysOf(store), [])
  })

  test('what was removed is gone, and may be made again', async (t) => {
    const store = await open(t)
    for (const key of ['d/plain', 'd/swapped']) await store.write(key, '1', { kind: 'absent' })
    const { etag } = (await store.head('d/swapped')) ?? { etag: '' }
    const last = await store.write('d/swapped', '2', { kind: 'matches', etag })
    for (const key of ['d/plain', 'd/swapped', 'd/never-there']) {
      await store.remove(key)
      await store.remove(key)
      assert.equal(await store.head(key), undefined)
      assert.equal(await store.read(key), undefined)
    }
    assert.deepEqual(await keysOf(store), [])
    await assert.rejects(store.write('d/swapped', '3', { kind: 'matches', etag: last.etag }), ConflictError)
    await store.write('d/swapped', 'anew', { kind: 'absent' })
    assert.equal(await textOf(store, 'd/swapped'), 'anew')
  })

  const outside = [
    '',
    '/',
    '/etc/passwd',
    'a//b',
    'a/',
    '../a',
    'a/../../b',
    'a/./b',
    'a\\b',
    'a b',
    'a\0b',
    'ä',
    'a~',
    '%2e%2e/a',
    'x'.repeat(901),
    `a/${'y'.repeat(201)}`,
  ]
  for (const key of outside) {
    test(`the key ${JSON.stringify(key.slice(0, 20))} is refused by every operation`, async (t) => {
      const store = await open(t)
      const file = path.join(await folderWith(t, { f: 'x' }), 'f')
      const operations: (() => Promise<unknown>)[] = [
        () => store.head(key),
        () => store.read(key),
        () => store.write(key, 'x', { kind: 'overwrite' }),
        () => store.write(key, 'x', { kind: 'absent' }),
        () => store.upload(key, file),
        () => store.download(key, `${file}2`),
        () => store.stream(key),
        () => store.remove(key),
      ]
      for (const operation of operations) await assert.rejects(operation, InputError, operation.toString())
    })
  }

  test('the probe passes and leaves nothing', async (t) => {
    const store = await open(t)
    await probeStore(store)
    assert.deepEqual(await keysOf(store), [])
  })

  const LIARS: { name: string; lie: (store: Store) => Partial<Store>; want: RegExp }[] = [
    {
      name: 'ignores If-None-Match',
      lie: (store) => ({
        write: (key, bytes, condition) =>
          store.write(key, bytes, condition.kind === 'absent' ? { kind: 'overwrite' } : condition),
      }),
      want: /does not honour conditional writes \(it took a write that If-None-Match: \* forbids\)/,
    },
    {
      name: 'ignores If-Match',
      lie: (store) => ({
        write: (key, bytes, condition) =>
          store.write(key, bytes, condition.kind === 'matches' ? { kind: 'overwrite' } : condition),
      }),
      want: /it took a write that If-Match forbids/,
    },
    {
      name: 'does not list what is there',
      lie: () => ({ list: async function* () {} }),
      want: /does not list an object that was just written/,
    },
  ]
  for (const { name, lie, want } of LIARS) {
    test(`the probe finds out a store that ${name}`, async (t) => {
      const store = await open(t)
      await assert.rejects(probeStore(storeWith(store, lie(store))), (error) => {
        assert.ok(error instanceof InputError)
        assert.match(error.message, want)
        return true
      })
      assert.deepEqual(await keysOf(store), [])
    })
  }
}
