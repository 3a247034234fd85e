import assert from 'node:assert/strict'
import type { FaultCase } from '../fault-case.ts'
import { memoryGroup } from '../memory-group.ts'

/** What attention holds of 32 rows of a thousand tokens is most of the trainer's memory. */
const MICRO_BATCH = 32
/**
 * The worker and its trainer get the worker's memory and this share of the trainer's, as the undisturbed run used it: too little
 * for the whole micro-batch by more than a hundred megabytes, enough for a part of it, and more than that by which a training is refused
 * beforehand (src/train/refuse-unfit.ts).
 */
const SHARE = 0.7

const longRows = Array.from({ length: 48 }, (_, row) =>
  JSON.stringify({
    instruction: `Count from ${row}.`,
    output: Array.from({ length: 300 }, (__, n) => row + n)
      .join(' ')
      .slice(0, 900),
  }),
).join('\n')

const outOfMemory: FaultCase = {
  part: 'memory',
  kind: 'out of memory',
  what: 'the worker and its trainer run under a cgroup memory limit; the kernel kills the trainer, and smaller micro-batches finish the job (evaluation loss within 0.1 % of the undisturbed run)',
  runs: 2,
  isQuick: false,
  against: { loss: 0.001 },
  options: {
    steps: 4,
    rows: longRows,
    isLong: true,
    checkpoint: { everySteps: 2, everySeconds: 60, keepLast: 2 },
    train: { perDeviceTrainBatchSize: MICRO_BATCH },
  },
  async run(job, _random, { undisturbed }) {
    const { worker: ofWorker, trainer: ofTrainer } = (await undisturbed()).memory
    const limit = Math.round(ofWorker + SHARE * ofTrainer)
    await using group = await memoryGroup(job.name, limit)
    const worker = await job.worker({}, { group: group.folder })
    await job.submit()
    await job.finish()
    const { outOfMemory: counted } = await job.trainingFailures()
    assert(counted, 'the kernel has killed a trainer for memory, and the job knows it')
    assert(group.kills() >= counted.times, 'the cgroup counts the kills')
    const smaller = (await job.log()).filter(({ message }) => message === 'smaller for want of memory')
    const rows = smaller.map(({ fields }) => fields.microBatchRows)
    assert(rows.length > 0, 'a smaller attempt was made')
    // Inside the group: it ends with it.
    await worker.stop()
    return {
      note: `undisturbed the worker used ${megabytes(ofWorker)} MB and the trainer ${megabytes(ofTrainer)} MB; ${counted.times} killed by the kernel under ${megabytes(limit)} MB, finished with ${Number(rows.at(-1))} rows at once instead of ${MICRO_BATCH}`,
    }
  },
}

const megabytes = (bytes: number) => Math.round(bytes / 1e6)

const oneAnswer = Array.from({ length: 60 }, (_, i) =>
  JSON.stringify({ instruction: `Is ${i} a number?`, output: 'Yes, it is one.' }),
).join('\n')

const diverging: FaultCase = {
  part: 'memory',
  kind: 'diverging learning rate',
  what: 'a learning rate at which the loss runs away: training goes back, leaves out what it met and goes on at half the rate',
  runs: 1,
  isQuick: false,
  against: 'itself',
  options: {
    steps: 300,
    // One answer to all: it is learnt within a few steps, so that the usual loss is next to nothing when the rate has grown.
    rows: oneAnswer,
    train: {
      learningRate: 0.2,
      lrSchedulerType: 'constant_with_warmup',
      warmupSteps: 100,
      maxGradNorm: 1000,
      divergence: { lossFactor: 1.5, patience: 2, tries: 8 },
    },
  },
  async run(job) {
    await job.worker()
    await job.submit()
    await job.finish()
    const { rollbacks = [], firstLoss, lastLoss } = await job.trainingSummary()
    assert(rollbacks.length > 0, 'training went back')
    assert(firstLoss !== undefined && lastLoss !== undefined)
    assert(
      lastLoss < firstLoss / 2,
      `it has learnt all the same: ${firstLoss} at first, ${lastLoss} at the end`,
    )
    return { note: `went back ${rollbacks.length} times, last loss ${lastLoss.toFixed(3)}` }
  },
}

/** Rows that are set aside, and rows that are refused at once with their place: what is wrong with the latter only their owner knows. */
const POISON: { row: string; refused: boolean }[] = [
  { row: JSON.stringify({ instruction: 'What?', output: 'x'.repeat(300_000) }), refused: false },
  { row: '{"instruction": "", "output": ""}', refused: false },
  { row: '{"instruction": "cut off in the mid', refused: true },
  { row: '{"instruction": 7, "output": ["not", "a", "text"]}', refused: true },
]
const sound = Array.from({ length: 60 }, (_, i) =>
  JSON.stringify({ instruction: `What is ${i} plus one?`, output: `It is ${i + 1}.` }),
)

const poisonedRow: FaultCase = {
  part: 'memory',
  kind: 'one poisoned row',
  what: 'one row among 60 is broken: too long or empty, it is set aside; no JSON or of wrong types, the job fails at once with its place, and the mended file goes on. The adapter is that of the rows without it',
  runs: POISON.length,
  isQuick: false,
  options: { steps: 100 },
  async run(job, random, { number }) {
    const { row, refused } = POISON[number - 1] as (typeof POISON)[number]
    const at = Math.floor(random() * sound.length)
    const rows = sound.toSpliced(at, 0, row).join('\n')
    await job.worker()
    await job.submit({ rows })
    if (!refused) {
      await job.finish()
      return { note: `set aside: row ${at + 1}` }
    }
    const failure = await job.finish().then(
      () => assert.fail('a broken row went through'),
      (error: unknown) => String((error as { cause?: unknown }).cause ?? error),
    )
    assert.match(failure, new RegExp(`rows\\.jsonl:${at + 1}\\b`), 'the failure names the row')
    await job.submitAgain({ rows: sound.join('\n') })
    await job.finish()
    return { note: `refused: ${failure.slice(0, 120)}` }
  },
}

export const memory: FaultCase[] = [outOfMemory, diverging, poisonedRow]
