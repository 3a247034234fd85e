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

  test('a lease with a claim only moves forward', async (t) => {
    const store = await open(t)
    const claims = (run: string, attempt: number) =>
      acquireLease(store, 'job', `${run}-${attempt}`, { run, attempt })
    await claims('first', 1)
    await claims('first', 2)
    // Asleep while it was given up.
    await assert.rejects(claims('first', 1), FencedError)
    const third = await claims('first', 3)
    await third.check()
    const second = await claims('second', 1)
    await assert.rejects(claims('first', 4), (error) => {
      assert.ok(error instanceof FencedError)
      assert.match(error.message, /Another run of job job has taken its training over/)
      return true
    })
    await second.check()
    // Publishing, which claims nothing, takes nothing back for the first run.
    const publishing = await acquireLease(store, 'job', 'p1')
    await assert.rejects(claims('first', 5), FencedError)
    await publishing.check()
  })

  test('of many that claim at once one run ends up with the lease, and it is the last attempt of that run', async (t) => {
    const store = await open(t)
    const asked = Array.from({ length: 8 }, (_, index) => ({
      run: `r${index % 2}`,
      attempt: 1 + (index >> 1),
    }))
    const answers = await Promise.allSettled(
      asked.map((claim) => acquireLease(store, 'job', `${claim.run}-${claim.attempt}`, claim)),
    )
    const leases = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    for (const answer of answers)
      if (answer.status === 'rejected') assert.ok(answer.reason instanceof FencedError, String(answer.reason))
    const checks = await Promise.allSettled(leases.map((lease) => lease.check()))
    const valid = leases.filter((_, index) => checks[index]?.status === 'fulfilled')
    assert.equal(valid.length, 1)
    const [run = ''] = valid[0]?.attempt.split('-') ?? []
    const lower = { run, attempt: Number(valid[0]?.attempt.split('-')[1]) - 1 }
    if (lower.attempt > 0) await assert.rejects(acquireLease(store, 'job', 'late', lower), FencedError)
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

  test('a lease of an older or a newer version is read', async (t) => {
    const store = await open(t)
    const key = 'jobs/job/lease.json'
    await store.write(key, '{"epoch": 7, "attempt": "old"}', { kind: 'absent' })
    await heldLease(store, { jobId: 'job', epoch: 7, attempt: 'old' }).check()
    const mine = await acquireLease(store, 'job', 'a', { run: 'r', attempt: 1 })
    assert.equal(mine.epoch, 8)
    const newer = { epoch: 9, attempt: 'new', claim: { run: 'r', attempt: 2, pod: 'p' }, machine: 'm' }
    await store.write(key, JSON.stringify(newer), { kind: 'overwrite' })
    await assert.rejects(mine.check(), FencedError)
    await assert.rejects(acquireLease(store, 'job', 'late', { run: 'r', attempt: 1 }), FencedError)
    assert.equal((await acquireLease(store, 'job', 'b', { run: 'r', attempt: 3 })).epoch, 10)
  })

  test("a job's name cannot reach another job", async (t) => {
    const store = await open(t)
    await assert.rejects(acquireLease(store, '../other', 'a'), InputError)
  })
}
