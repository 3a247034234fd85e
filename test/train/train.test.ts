import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FencedError, InputError, NonFiniteError, StoppedError, TransientError } from '../../src/errors.ts'
import type { NamedRows } from '../../src/train/batches.ts'
import type { LogLine, Progress } from '../../src/train/child-protocol.ts'
import type { Engine } from '../../src/train/engine.ts'
import { differences, thisEnvironment } from '../../src/train/environment.ts'
import { type TrainJob, train } from '../../src/train/train.ts'
import type { TrainSettings } from '../../src/train/train-settings.ts'
import { readState, type TrainingState, writeState } from '../../src/train/training-state.ts'
import { linearEngine, linearRows } from './linear-engine.ts'
import { trainSettings } from './settings.ts'

const base = trainSettings({
  learningRate: 0.05,
  weightDecay: 0.01,
  numTrainEpochs: 3,
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 2,
  // What training does about a loss that runs away is tried in rescue.test.ts.
  divergence: { lossFactor: 3, patience: 5, tries: 0 },
})

interface Run {
  engine: Engine
  states: TrainingState[]
  reports: Progress[]
  logs: LogLine[]
  job: TrainJob
}

function prepare(
  change: Partial<TrainSettings> = {},
  rest: Partial<TrainJob> = {},
  engine = linearEngine(),
): Run {
  const settings = { ...base, ...change }
  const clock = { time: 0, now: () => (clock.time += 10) }
  const run = { engine, states: [] as TrainingState[], reports: [] as Progress[], logs: [] as LogLine[] }
  const job: TrainJob = {
    engine,
    rows: linearRows(13),
    settings,
    environment: thisEnvironment(settings),
    resumeFrom: undefined,
    clock,
    signal: new AbortController().signal,
    save: (state) => {
      run.states.push(state)
      return Promise.resolve()
    },
    report: (progress) => run.reports.push(progress),
    log: (line) => run.logs.push(line),
    ...rest,
  }
  return { ...run, job }
}

const bits = (engine: Engine) =>
  Array.from(engine.trained.tensors.values(), ({ data }) => Buffer.from(data.buffer).toString('hex'))
/** A metric line without the times, which no run shares with another. */
const untimed = (metrics: { seconds: number }[]) => metrics.map((line) => ({ ...line, seconds: 0 }))

test('training lowers the loss and says what it did', async () => {
  const { engine, job, reports } = prepare({ numTrainEpochs: 20, warmupRatio: 0 })
  const before = bits(engine)
  const record = await train(job)
  assert.equal(record.step, 80)
  assert.equal(record.metrics.length, 80)
  const losses = record.metrics.map(({ loss }) => loss)
  const epoch = (from: number) => losses.slice(from, from + 4).reduce((a, b) => a + b)
  assert.ok(epoch(76) < 0.8 * epoch(0), `${epoch(0)} → ${epoch(76)}`)
  assert.notDeepEqual(bits(engine), before)
  const tokens = Array.from({ length: 13 }, (_, row) => job.rows.ids(row).length).reduce((a, b) => a + b)
  assert.equal(record.trainedTokens, 20 * tokens)
  const last = reports.findLast(({ phase }) => phase === 'train')
  assert.equal(last?.step, 80)
  assert.equal(last?.secondsLeft, 0)
  assert.equal(last?.trainedTokens, record.trainedTokens)
})

test('accumulated micro-batches of unlike token counts give one big batch, bit for bit', async () => {
  const accumulated = prepare({ perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 4 })
  const whole = prepare({ perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 1 })
  const records = [await train(accumulated.job), await train(whole.job)]
  assert.deepEqual(bits(accumulated.engine), bits(whole.engine))
  assert.deepEqual(
    records[0]?.metrics.map(({ loss }) => loss.toFixed(12)),
    records[1]?.metrics.map(({ loss }) => loss.toFixed(12)),
  )
})

const kinds: { name: string; change: Partial<TrainSettings> }[] = [
  { name: 'a metric line every step', change: { loggingSteps: 1 } },
  { name: 'a metric line every 5 steps', change: { loggingSteps: 5 } },
  { name: 'packs', change: { packing: true, packedLength: 12, perDeviceTrainBatchSize: 1 } },
  { name: 'rows by length', change: { groupByLength: true } },
]
for (const { name, change } of kinds)
  test(`resumed from any checkpoint, through its files, the end is the same bit for bit: ${name}`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'temper-state-'))
    t.after(() => rm(dir, { recursive: true }))
    const checkpoint = { everySteps: 1, everySeconds: 1e9, keepLast: 2 }
    const undisturbed = prepare({ ...change, checkpoint })
    const record = await train(undisturbed.job)
    assert.ok(undisturbed.states.length >= 12)
    assert.equal(undisturbed.states.length, record.step)
    for (const state of undisturbed.states) {
      await writeState(dir, state)
      const resumed = prepare({ ...change, checkpoint })
      resumed.job.resumeFrom = await readState(dir, resumed.engine.trained)
      const end = await train(resumed.job)
      assert.deepEqual(bits(resumed.engine), bits(undisturbed.engine))
      assert.deepEqual(untimed(end.metrics), untimed(record.metrics))
      assert.deepEqual({ ...end, metrics: [], seconds: 0 }, { ...record, metrics: [], seconds: 0 })
    }
  })

test('a request to stop keeps the last whole step and training goes on from it', async () => {
  const undisturbed = prepare()
  await train(undisturbed.job)
  const stop = new AbortController()
  const stopped = prepare({}, { signal: stop.signal })
  const { report } = stopped.job
  stopped.job.report = (progress) => {
    report(progress)
    // In the middle of the sixth step, between its two micro-batches.
    if (progress.step === 5 && progress.microBatch === 1) stop.abort('the test')
  }
  await assert.rejects(train(stopped.job), StoppedError)
  assert.equal(stopped.states.length, 1)
  assert.equal(stopped.states[0]?.record.step, 5)
  const resumed = prepare({}, { resumeFrom: stopped.states[0] })
  const record = await train(resumed.job)
  assert.equal(record.exact, true)
  assert.deepEqual(bits(resumed.engine), bits(undisturbed.engine))
})

test('a stop before the first step leaves nothing to save', async () => {
  const { job, states } = prepare({}, { signal: AbortSignal.abort() })
  await assert.rejects(train(job), StoppedError)
  assert.equal(states.length, 0)
})

test('a stop whose state cannot be saved is not called stopped', async () => {
  const stop = new AbortController()
  const { job } = prepare({}, { signal: stop.signal, save: () => Promise.reject(new TransientError('503')) })
  job.report = ({ step }) => void (step === 2 && stop.abort())
  await assert.rejects(train(job), TransientError)
})

test('a run resumed in another environment says that it is not exact, and goes on saying it', async () => {
  const first = prepare({ checkpoint: { everySteps: 4, everySeconds: 1e9, keepLast: 2 } })
  await train(first.job)
  const [saved] = first.states
  assert.ok(saved)
  // As if sums had run in another order there.
  saved.record.probe = (saved.record.probe as number) * 1.001
  const elsewhere = prepare(
    { checkpoint: { everySteps: 4, everySeconds: 1e9, keepLast: 2 } },
    { resumeFrom: saved },
  )
  elsewhere.job.environment = { ...elsewhere.job.environment, threads: 7 }
  assert.equal((await train(elsewhere.job)).exact, false)
  assert.match(elsewhere.logs.find(({ level }) => level === 'warn')?.message ?? '', /threads/)
  const difference = elsewhere.reports.at(-1)?.inexact?.lossDifference as number
  assert.ok(Math.abs(difference - 0.001) < 1e-5, String(difference))
  const back = prepare({}, { resumeFrom: elsewhere.states[0] as TrainingState })
  back.job.environment = { ...back.job.environment, threads: 7 }
  const { exact, inexact } = await train(back.job)
  assert.equal(exact, false)
  assert.equal(inexact?.recorded, saved.record.probe, 'the first inexact resume is still told of')
  assert.equal(back.reports[0]?.inexact?.lossDifference, difference)
  assert.deepEqual(
    first.reports.filter((report) => report.inexact),
    [],
  )
})

test('a checkpoint knows runtime, instruction set, build and threads; another of each is another environment', () => {
  const here = thisEnvironment(base)
  for (const field of ['runtime', 'instructionSet', 'build', 'threads', 'processor'] as const) {
    assert.ok(here[field], field)
    assert.deepEqual(differences({ ...here, [field]: 'another' }, here), [field])
  }
  const { instructionSet: _, build: __, ...old } = here
  assert.deepEqual(differences(old, here), [], 'a checkpoint from before these fields')
})

for (const poisonedGradient of [false, true])
  test(`a ${poisonedGradient ? 'gradient' : 'loss'} that is not finite stops the job, names step and row, and commits nothing`, async () => {
    const poisoned = linearEngine({ poisonedRow: 'row6', poisonedGradient })
    const { job, states, engine } = prepare(
      { checkpoint: { everySteps: 1, everySeconds: 1e9, keepLast: 2 } },
      {},
      poisoned,
    )
    await assert.rejects(train(job), (error) => {
      assert.ok(error instanceof NonFiniteError)
      assert.match(error.message, /row6/)
      assert.match(error.message, /the largest activations: NaN in layer 2, 1\.50 in layer 1\);/)
      const step = Number(/step (\d+)/.exec(error.message)?.[1])
      assert.equal(states.length, step - 1, 'the steps before were saved, this one was not')
      return true
    })
    for (const { data } of engine.trained.tensors.values()) assert.ok(data.every(Number.isFinite))
  })

test('a rate so high that the adapter overflows in the last step publishes nothing', async () => {
  const { job, states } = prepare({
    learningRate: 1e39,
    maxSteps: 1,
    warmupRatio: 0,
    lrSchedulerType: 'constant',
  })
  await assert.rejects(train(job), NonFiniteError)
  assert.equal(states.length, 0)
})

test('a fenced save ends training at the next step', async () => {
  let saves = 0
  const { job, reports } = prepare(
    { checkpoint: { everySteps: 2, everySeconds: 1e9, keepLast: 2 } },
    { save: () => (saves++, Promise.reject(new FencedError('epoch 2 owns the job'))) },
  )
  await assert.rejects(train(job), FencedError)
  assert.equal(saves, 1)
  assert.ok((reports.at(-1)?.step as number) <= 3)
})

test('saving runs beside training: a slow store does not hold the steps up', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  let saves = 0
  const { job } = prepare(
    { checkpoint: { everySteps: 2, everySeconds: 1e9, keepLast: 2 } },
    { save: () => (saves++, promise) },
  )
  // The first save is under way until the last step is done.
  job.report = ({ step }) => void (step === 12 && resolve())
  const record = await train(job)
  assert.equal(record.step, 12)
  assert.equal(saves, 1)
})

test('a state that is saved does not change when training goes on', async () => {
  const { job, states } = prepare({ checkpoint: { everySteps: 1, everySeconds: 1e9, keepLast: 2 } })
  const seen: string[] = []
  const { save } = job
  job.save = (state) => {
    seen.push(JSON.stringify([state.record, Array.from(state.adapter.values(), ({ data }) => [...data])]))
    return save(state)
  }
  await train(job)
  assert.deepEqual(
    states.map((state) =>
      JSON.stringify([state.record, Array.from(state.adapter.values(), ({ data }) => [...data])]),
    ),
    seen,
  )
})

test('rows with nothing to learn are refused by name', async () => {
  const rows = linearRows(5)
  const empty: NamedRows = {
    ...rows,
    lossMask: (row) => (row === 3 ? Uint8Array.of(1, 0, 0) : rows.lossMask(row)),
  }
  const refused = prepare({}, { rows: empty })
  await assert.rejects(
    train(refused.job),
    (error) => error instanceof InputError && /row3/.test(error.message),
  )
  const none = prepare({}, { rows: linearRows(0) })
  await assert.rejects(train(none.job), InputError)
})

test('a checkpoint of a job with other rows is refused', async () => {
  const first = prepare({ checkpoint: { everySteps: 4, everySeconds: 1e9, keepLast: 2 } })
  await train(first.job)
  const other = prepare({}, { rows: linearRows(12), resumeFrom: first.states[0] as TrainingState })
  await assert.rejects(train(other.job), InputError)
})
