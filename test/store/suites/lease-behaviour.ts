import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CorruptError, FencedError, InputError } from '../../../src/errors.ts'
import { acquireLease, heldLease } from '../../../src/store/lease.ts'
import type { OpenFresh } from '../support/scratch.ts'

export function leaseBehaviour(open: OpenFresh): void {
  test('each attempt takes the next epoch, and all before it are fenced', async (t) => {
    const store = await open(t)
    const first = await acquireLease(store, 'job', 'a1')
    await first.check()
    const second = await acquireLease(store, 'job', 'a2')
    assert.deepEqual([first.epoch, second.epoch], [1, 2])
    await second.check()
    await assert.rejects(first.check(), (error) => {
      assert.ok(error instanceof FencedError)
      assert.match(error.message, /attempt a2 holds epoch 2/)
      return true
    })
  })

  test('many who ask at once get epochs of their own, and only the last is valid', async (t) => {
    const store = await open(t)
    const attempts = Array.from({ length: 8 }, (_, index) => `a${index}`)
    const leases = await Promise.all(attempts.map((attempt) => acquireLease(store, 'job', attempt)))
    assert.deepEqual(leases.map(({ epoch }) => epoch).toSorted(), [1, 2, 3, 4, 5, 6, 7, 8])
    const checks = await Promise.allSettled(leases.map((lease) => lease.check()))
    const valid = leases.filter((_, index) => checks[index]?.status === 'fulfilled')
    assert.deepEqual(
      valid.map(({ epoch }) => epoch),
      [8],
    )
  })

  test('jobs do not fence each other', async (t) => {
    const store = await open(t)
    const one = await acquireLease(store, 'one', 'a')
    await acquireLease(store, 'two', 'b')
    await one.check()
  })

  test('a child writes under the lease of its parent, and is fenced with it', async (t) => {
    const store = await open(t)
    const { jobId, epoch, attempt } = await acquireLease(store, 'job', 'a1')
    const child = heldLease(store, { jobId, epoch, attempt })
    await child.check()
    await assert.rejects(heldLease(store, { jobId, epoch, attempt: 'a0' }).check(), FencedError)
    await acquireLease(store, 'job', 'a2')
    await assert.rejects(child.check(), FencedError)
  })

  test('a lease whose bytes are broken is not taken for none', async (t) => {
    const store = await open(t)
    await store.write('jobs/job/lease.json', '{"epoch": 7', { kind: 'absent' })
    await assert.rejects(acquireLease(store, 'job', 'a'), CorruptError)
  })

  test("a job's name cannot reach another job", async (t) => {
    const store = await open(t)
    await assert.rejects(acquireLease(store, '../other', 'a'), InputError)
  })
}
