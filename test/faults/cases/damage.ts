import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { keysOf, textOf } from '../../store/support/scratch.ts'
import { fakeTime } from '../faketime.ts'
import { type FaultCase, NotPossibleHere } from '../fault-case.ts'
import type { FaultJob } from '../fault-job.ts'

const run = promisify(execFile)

/** The newest checkpoint's file of tensors is spoilt while nobody works; the next worker takes the one before. */
function spoiltCheckpoint(
  kind: string,
  what: string,
  spoil: (bytes: Buffer, random: () => number) => Buffer,
  isQuick: boolean,
): FaultCase {
  return {
    part: 'damage',
    kind,
    what,
    runs: 3,
    isQuick,
    spoils: 1,
    async run(job, random) {
      const worker = await job.worker()
      await job.submit()
      // The first move of the pointer names none.
      await job.saved(3)
      await worker.killForGood()
      const state = await newestState(job)
      const object = await job.store.read(state)
      await job.store.write(state, spoil(Buffer.from(object?.bytes ?? ''), random), { kind: 'overwrite' })
      await worker.start()
      await job.finish()
      const log = await job.log()
      assert(
        log.some(({ message }) => message.startsWith('checkpoint set aside')),
        'the log says which checkpoint was set aside',
      )
      return {}
    },
  }
}

async function newestState(job: FaultJob): Promise<string> {
  const pointer = (await keysOf(job.store, 'jobs/')).find((key) => key.endsWith('/latest.json')) ?? ''
  const { value } = JSON.parse((await textOf(job.store, pointer)) ?? '') as { value: string[] }
  const [newest] = value
  assert(newest, 'a checkpoint is there')
  return `${pointer.replace(/latest\.json$/, '')}checkpoints/${newest}/state.safetensors`
}

const fullDisk: FaultCase = {
  part: 'damage',
  kind: 'disk full',
  what: 'the worker’s disk is full in the middle of training: the job fails with what to mend, and after that goes on',
  runs: 2,
  isQuick: false,
  async run(job) {
    const home = join(job.root, 'small-disk')
    mkdirSync(home, { recursive: true })
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', home])
    } catch {
      throw new NotPossibleHere('this user may not mount a small disk')
    }
    try {
      const worker = await job.worker({}, { home })
      await job.submit()
      await job.reach('training', ({ progress }) => progress.done > 50)
      await writeFile(join(home, 'filler'), Buffer.alloc(8_000_000)).catch(() => undefined)
      await assert.rejects(job.finish())
      const lines = (await job.log()).map(({ message }) => message)
      assert(
        lines.some((line) => /disk/i.test(line) && /full/.test(line)),
        `the log says that the disk is full: ${lines.slice(-3).join(' | ')}`,
      )
      await worker.stop()
    } finally {
      await run('umount', ['-l', home])
    }
    await job.worker()
    await job.submitAgain()
    await job.finish()
    return {}
  },
}

/** The worker that goes on has another idea of the time than the one that was killed. */
function clockMoved(hours: number): FaultCase {
  return {
    part: 'damage',
    kind: `clock ${Math.abs(hours)} h ${hours > 0 ? 'ahead' : 'behind'}`,
    what: 'the worker is killed and goes on with its clock moved by an hour, in all of its process and in its trainer',
    runs: 2,
    isQuick: false,
    async run(job, random) {
      const moved = await fakeTime(hours)
      const worker = await job.worker()
      const after = Math.floor(random() * 150)
      await job.submit()
      await job.reach(`step ${after}`, ({ progress }) => progress.done > after)
      await worker.killForGood()
      await worker.start(moved)
      await job.finish()
      return {}
    },
  }
}

export const damage: FaultCase[] = [
  spoiltCheckpoint(
    'corrupt newest checkpoint',
    'one byte of the newest checkpoint is flipped: it is set aside and the one before is taken',
    (bytes, random) => {
      const at = Math.floor(random() * bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ 0xff
      return bytes
    },
    true,
  ),
  spoiltCheckpoint(
    'truncated newest checkpoint',
    'the newest checkpoint’s tensors end early: it is set aside and the one before is taken',
    (bytes, random) => bytes.subarray(0, Math.floor(random() * bytes.length)),
    false,
  ),
  fullDisk,
  clockMoved(1),
  clockMoved(-1),
]
