import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { FencedError, InputError } from '../../../src/errors.ts'
import {
  latestCheckpoint,
  saveCheckpoint,
  quarantinedCheckpoints,
  rewindTo,
} from '../../../src/store/checkpoints.ts'
import { acquireLease } from '../../../src/store/lease.ts'
import type { Lease } from '../../../src/store/lease.ts'
import type { Store } from '../../../src/store/store.ts'
import { filesWith, keysOf, scratchFolder, storeWith } from '../support/scratch.ts'
import type { OpenFresh } from '../support/scratch.ts'

const PREFIX = 'jobs/job/training/d1'

async function save(
  t: TestContext,
  store: Store,
  lease: Lease,
  step: number,
  bytes = `state ${step}`,
  keepLast = 2,
) {
  const files = await filesWith(t, { 'state.bin': bytes, 'state.json': '{}' })
  return saveCheckpoint(store, lease, PREFIX, step, files, { position: step }, { keepLast })
}

async function latest(t: TestContext, store: Store, lease: Lease) {
  const { checkpoint, quarantined } = await latestCheckpoint(store, lease, PREFIX, await scratchFolder(t))
  const state = checkpoint && (await readFile(path.join(checkpoint.dir, 'state.bin'), 'utf8'))
  return {
    name: checkpoint?.name,
    state,
    meta: checkpoint?.meta,
    quarantined: quarantined.map(({ name }) => name),
  }
}

const found = (step: number, name: string, quarantined: string[] = [], state = `state ${step}`) => ({
  ...{ name, state, meta: { position: step } },
  quarantined,
})
const nothing = (quarantined: string[] = []) => ({
  name: undefined,
  state: undefined,
  meta: undefined,
  quarantined,
})

/** A zombie that is past its lease check when the next owner begins. */
const pastItsCheck = (lease: Lease): Lease => ({ ...lease, check: () => Promise.resolve() })

export function checkpointBehaviour(open: OpenFresh): void {
  test('the latest checkpoint is the last saved; as many as asked for are kept', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    assert.deepEqual(await latest(t, store, lease), nothing())
    for (const step of [10, 20, 30]) await save(t, store, lease, step)
    assert.deepEqual(await latest(t, store, lease), found(30, '00000030-1'))
    const kept = ['00000020-1', '00000030-1'].flatMap((name) =>
      ['manifest.json', 'state.bin', 'state.json'].map((file) => `${PREFIX}/checkpoints/${name}/${file}`),
    )
    assert.deepEqual(await keysOf(store, `${PREFIX}/checkpoints/`), kept)
    await save(t, store, lease, 40, 'state 40', 1)
    assert.equal((await keysOf(store, `${PREFIX}/checkpoints/`)).length, 3)
    assert.deepEqual(await latest(t, store, lease), found(40, '00000040-1'))
  })

  test('the best one is kept beside the last ones, and is the last resort', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    const saveBest = async (step: number, best: number) => {
      const files = await filesWith(t, { 'state.bin': `state ${step}`, 'state.json': '{}' })
      await saveCheckpoint(store, lease, PREFIX, step, files, { position: step }, { keepLast: 1, best })
    }
    const kept = async () => {
      const keys = await keysOf(store, `${PREFIX}/checkpoints/`)
      return [...new Set(keys.map((key) => Number(key.split('/').at(-2)?.slice(0, 8))))]
    }
    for (const step of [10, 20, 30]) await saveBest(step, 10)
    assert.deepEqual(await kept(), [10, 30])
    await saveBest(40, 40)
    assert.deepEqual(await kept(), [40])
    await saveBest(50, 40)
    assert.deepEqual(await latest(t, store, lease), found(50, '00000050-1'))
    await store.write(`${PREFIX}/checkpoints/00000050-1/state.bin`, 'damaged!', { kind: 'overwrite' })
    assert.deepEqual(await latest(t, store, lease), found(40, '00000040-1', ['00000050-1']))
    assert.deepEqual(
      (await quarantinedCheckpoints(store, PREFIX)).map(({ name }) => name),
      ['00000050-1'],
    )
  })

  test('training can go back to an earlier checkpoint, or to none, and only to one that is there', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    for (const step of [10, 20, 30]) await save(t, store, lease, step, `state ${step}`, 3)
    await assert.rejects(rewindTo(store, lease, PREFIX, 15), (error) => {
      assert.ok(error instanceof InputError)
      assert.match(error.message, /no checkpoint of step 15; there are those of 10, 20, 30/)
      return true
    })
    await rewindTo(store, lease, PREFIX, 20)
    assert.deepEqual(await latest(t, store, lease), found(20, '00000020-1'))
    await assert.rejects(rewindTo(store, lease, PREFIX, 30), /there are those of 10, 20$/)
    await rewindTo(store, lease, PREFIX, 0)
    assert.deepEqual(await latest(t, store, lease), nothing())
    const zombie = lease
    await acquireLease(store, 'job', 'a2')
    await assert.rejects(rewindTo(store, zombie, PREFIX, 0), FencedError)
  })

  test('a zombie moves nothing, even one that is past its check', async (t) => {
    const store = await open(t)
    const old = await acquireLease(store, 'job', 'a1')
    await save(t, store, old, 10)
    const next = await acquireLease(store, 'job', 'a2')
    await assert.rejects(save(t, store, old, 20), FencedError)
    // The new owner's first look takes the pointer; from then on the check is made at the pointer itself.
    assert.deepEqual(await latest(t, store, next), found(10, '00000010-1'))
    await assert.rejects(save(t, store, pastItsCheck(old), 20), FencedError)
    await assert.rejects(latest(t, store, pastItsCheck(old)), FencedError)
    assert.deepEqual(await latest(t, store, next), found(10, '00000010-1'))
    await save(t, store, next, 20, "the owner's")
    assert.deepEqual(await latest(t, store, next), found(20, '00000020-2', [], "the owner's"))
  })

  test('a zombie that wakes up before its pruning removes nothing of the new owner', async (t) => {
    const store = await open(t)
    const old = await acquireLease(store, 'job', 'a1')
    let wake = (): void => undefined
    const asleep = new Promise<void>((resolve) => (wake = resolve))
    let reached = (): void => undefined
    const pruning = new Promise<void>((resolve) => (reached = resolve))
    const zombie = storeWith(store, {
      list: async function* (prefix) {
        reached()
        await asleep
        yield* store.list(prefix)
      },
    })
    const saving = save(t, zombie, old, 10)
    await pruning
    const next = await acquireLease(store, 'job', 'a2')
    assert.deepEqual(await latest(t, store, next), found(10, '00000010-1'))
    for (const step of [20, 30]) await save(t, store, next, step)
    wake()
    await saving
    assert.deepEqual(await latest(t, store, next), found(30, '00000030-2'))
    assert.deepEqual((await keysOf(store, `${PREFIX}/checkpoints/00000020-2/`)).length, 3)
  })

  // Of a file, the new owner comes between two of its files; of the manifest, before the checkpoint is looked at.
  for (const at of ['state.bin', 'manifest.json'])
    test(`a zombie whose checkpoint the new owner prunes under it, at ${at}, is fenced; nothing is called corrupt`, async (t) => {
      const store = await open(t)
      const old = await acquireLease(store, 'job', 'a1')
      const overtake = async (key: string): Promise<void> => {
        if (key.endsWith(at)) await save(t, store, await acquireLease(store, 'job', 'a2'), 20)
      }
      const zombie = storeWith(store, {
        async upload(key, local, options) {
          const uploaded = await store.upload(key, local, options)
          await overtake(key)
          return uploaded
        },
        async write(key, bytes, condition) {
          const written = await store.write(key, bytes, condition)
          await overtake(key)
          return written
        },
      })
      await assert.rejects(save(t, zombie, old, 10), FencedError)
    })

  const DAMAGE: { name: string; damage: (store: Store, folder: string) => Promise<unknown> }[] = [
    {
      name: 'with a changed byte',
      damage: (store, at) => store.write(`${at}/state.bin`, 'stale 20', { kind: 'overwrite' }),
    },
    {
      name: 'with a file cut off',
      damage: (store, at) => store.write(`${at}/state.bin`, 'sta', { kind: 'overwrite' }),
    },
    { name: 'without one of its files', damage: (store, at) => store.remove(`${at}/state.json`) },
    { name: 'without its manifest', damage: (store, at) => store.remove(`${at}/manifest.json`) },
    {
      name: 'with a manifest cut off',
      damage: (store, at) => store.write(`${at}/manifest.json`, '{"version', { kind: 'overwrite' }),
    },
  ]
  for (const { name, damage } of DAMAGE) {
    test(`a newest checkpoint ${name} is set aside for the one before it`, async (t) => {
      const store = await open(t)
      const lease = await acquireLease(store, 'job', 'a1')
      for (const step of [10, 20]) await save(t, store, lease, step)
      await damage(store, `${PREFIX}/checkpoints/00000020-1`)
      const next = await acquireLease(store, 'job', 'a2')
      assert.deepEqual(await latest(t, store, next), found(10, '00000010-1', ['00000020-1']))
      assert.deepEqual(await latest(t, store, next), found(10, '00000010-1'))
      for (const step of [20, 30, 40]) await save(t, store, next, step)
      assert.deepEqual(await latest(t, store, next), found(40, '00000040-2'))
      const marks = (await keysOf(store)).filter((key) => key.endsWith('quarantined.json'))
      assert.deepEqual(marks, [`${PREFIX}/checkpoints/00000020-1/quarantined.json`])
    })
  }

  test('where all are corrupt there is none, and training begins anew', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    for (const step of [10, 20]) {
      await save(t, store, lease, step)
      await store.write(`${PREFIX}/checkpoints/000000${step}-1/state.bin`, 'rotten', { kind: 'overwrite' })
    }
    assert.deepEqual(await latest(t, store, lease), nothing(['00000020-1', '00000010-1']))
    // The same bytes again, under the same lease: not the corrupt one is taken for them.
    await save(t, store, lease, 10)
    assert.deepEqual(await latest(t, store, lease), found(10, '00000010-1-2'))
  })

  test('a pointer whose bytes are broken is made anew from the checkpoints that are there', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    for (const step of [10, 20]) await save(t, store, lease, step)
    await store.write(`${PREFIX}/latest.json`, '{"epoch": 1, "val', { kind: 'overwrite' })
    assert.deepEqual(await latest(t, store, lease), found(20, '00000020-1', ['latest.json']))
    assert.deepEqual(await latest(t, store, lease), found(20, '00000020-1'))
    assert.deepEqual(await keysOf(store, `${PREFIX}/quarantined/`), [`${PREFIX}/quarantined/latest-1.json`])
  })

  test('a save that was killed before the pointer moved is not resumed from, and can be repeated', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    await save(t, store, lease, 10)
    let writes = 0
    const killed = storeWith(store, {
      write: (key, bytes, condition) => {
        if (key.endsWith('latest.json')) return Promise.reject(new Error('killed'))
        writes++
        return store.write(key, bytes, condition)
      },
    })
    await assert.rejects(save(t, killed, lease, 20), /killed/)
    assert.equal(writes, 1)
    assert.deepEqual(await latest(t, store, lease), found(10, '00000010-1'))
    // The same bytes: what is there is taken. Other bytes (the clock is in them): a name of their own.
    assert.deepEqual(await save(t, store, lease, 20), { name: '00000020-1' })
    assert.deepEqual(await save(t, store, lease, 20, 'again'), { name: '00000020-1-2' })
    assert.deepEqual(await latest(t, store, lease), found(20, '00000020-1-2', [], 'again'))
  })

  test('files without a manifest are no checkpoint, and the next save of a later owner removes them', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    const killed = storeWith(store, {
      write: (key, bytes, condition) =>
        key.endsWith('manifest.json')
          ? Promise.reject(new Error('killed'))
          : store.write(key, bytes, condition),
    })
    await assert.rejects(save(t, killed, lease, 10), /killed/)
    assert.equal((await keysOf(store, `${PREFIX}/checkpoints/`)).length, 2)
    const next = await acquireLease(store, 'job', 'a2')
    assert.deepEqual(await latest(t, store, next), nothing())
    await save(t, store, next, 10)
    assert.equal((await keysOf(store, `${PREFIX}/checkpoints/00000010-1/`)).length, 0)
    assert.deepEqual(await latest(t, store, next), found(10, '00000010-2'))
  })

  test('the pointer never moves to a checkpoint that is not whole', async (t) => {
    const store = await open(t)
    const lease = await acquireLease(store, 'job', 'a1')
    await save(t, store, lease, 10, 'state 10', 1)
    const losing = storeWith(store, {
      upload: async (key, local) => {
        const object = await store.upload(key, local)
        if (key.endsWith('state.bin')) await store.remove(key)
        return object
      },
    })
    await assert.rejects(save(t, losing, lease, 20, 'state 20', 1), /is missing/)
    assert.deepEqual(await latest(t, store, lease), found(10, '00000010-1'))
  })
}
