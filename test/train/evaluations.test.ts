import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { NonFiniteError, StoppedError } from '../../src/errors.ts'
import { evaluateModel } from '../../src/eval/evaluate-model.ts'
import type { Progress } from '../../src/train/child-protocol.ts'
import type { Engine } from '../../src/train/engine.ts'
import { thisEnvironment } from '../../src/train/environment.ts'
import {
  type BestModelMetric,
  type EvaluationRecord,
  judgeEvaluation,
  NO_EVALUATIONS,
} from '../../src/train/evaluation-record.ts'
import { metricLines } from '../../src/train/metric-lines.ts'
import {
  afterEvaluation,
  type MetricSchedule,
  startOfMetricSchedule,
} from '../../src/train/metric-schedule.ts'
import { train, type TrainJob } from '../../src/train/train.ts'
import type { TrainSettings } from '../../src/train/train-settings.ts'
import { readState, type TrainingState, writeState } from '../../src/train/training-state.ts'
import { linearEngine, linearRows } from './linear-engine.ts'
import { trainSettings } from './settings.ts'

// What torch and transformers 5.23 give, written by bench/peers/make_schedules.py.
const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/evaluations.json', import.meta.url), 'utf8'),
) as {
  schedules: (MetricSchedule & { metrics: number[]; rates: number[] })[]
  earlyStopping: {
    metric: BestModelMetric
    values: number[]
    patience: number
    threshold: number
    evaluations: number
    stopped: boolean
    bestStep: number
    bestMetric: number
  }[]
}

for (const { metrics, rates, ...schedule } of fixture.schedules)
  test(`${schedule.name} ${JSON.stringify(schedule.options)}, ${schedule.mode}: the rates of torch and transformers`, () => {
    assert.ok(new Set(rates).size > (Object.keys(schedule.options).length === 0 ? 0 : 2))
    let state = startOfMetricSchedule(schedule)
    for (const [i, metric] of metrics.entries()) {
      // As a checkpoint would keep it.
      state = JSON.parse(JSON.stringify(afterEvaluation(state, metric, schedule))) as typeof state
      const [found, want] = [state.learningRate, rates[i] as number]
      assert.ok(Math.abs(found / want - 1) < 1e-12, `evaluation ${i}: ${found}, not ${want}`)
    }
  })

for (const { metric, values, patience, threshold, ...want } of fixture.earlyStopping)
  test(`${metric} ${values.length} times, patience ${patience}, threshold ${threshold}: transformers' best and its early end`, () => {
    const record: EvaluationRecord = structuredClone(NO_EVALUATIONS)
    const settings = {
      metricForBestModel: metric,
      earlyStoppingPatience: patience,
      earlyStoppingThreshold: threshold,
    }
    for (const [i, value] of values.entries()) {
      const line = { step: i + 1, epoch: i, evalLoss: value, evalMeanTokenAccuracy: value, seconds: i }
      judgeEvaluation(record, line, settings)
      if (record.stopped) break
    }
    const { lines, stopped, bestStep, bestMetric } = record
    assert.deepEqual({ evaluations: lines.length, stopped, bestStep, bestMetric }, want)
  })

const base = trainSettings({
  learningRate: 0.2,
  warmupRatio: 0,
  numTrainEpochs: 8,
  perDeviceTrainBatchSize: 4,
  evalStrategy: 'steps',
  evalSteps: 3,
  checkpoint: { everySteps: 1, everySeconds: 1e9, keepLast: 2 },
})

function prepare(change: Partial<TrainSettings> = {}, rest: Partial<TrainJob> = {}, engine = linearEngine()) {
  const settings = { ...base, ...change }
  const states: TrainingState[] = []
  const reports: Progress[] = []
  const clock = { time: 0, now: () => (clock.time += 10) }
  const signal = new AbortController().signal
  const held = linearRows(5)
  const job: TrainJob = {
    engine,
    rows: linearRows(13),
    settings,
    environment: thisEnvironment(settings),
    resumeFrom: undefined,
    clock,
    signal,
    save: (state) => Promise.resolve(void states.push(state)),
    evaluate: (report) => evaluateModel(engine, held, { batchSize: 2, signal: job.signal, report }),
    report: (progress) => reports.push(progress),
    log: () => {},
    ...rest,
  }
  return { engine, states, reports, job }
}

const bits = (tensors: Iterable<Float32Array>) =>
  Array.from(tensors, (data) => Buffer.from(data.buffer).toString('hex'))
const adapterBits = (engine: Engine) => bits(Array.from(engine.trained.tensors.values(), ({ data }) => data))

test('every evalSteps steps, and after the last; a share of the steps; every epoch', async () => {
  const steps = async (change: Partial<TrainSettings>) => {
    const { evaluation } = await train(prepare({ maxSteps: 10, ...change }).job)
    return evaluation?.lines.map(({ step }) => step)
  }
  assert.deepEqual(await steps({ evalSteps: 3 }), [3, 6, 9, 10])
  assert.deepEqual(await steps({ evalSteps: 5 }), [5, 10])
  assert.deepEqual(await steps({ evalSteps: 0.35 }), [4, 8, 10])
  assert.deepEqual(await steps({ evalStrategy: 'epoch' }), [4, 8, 10])
  assert.deepEqual(await steps({ evalStrategy: 'no' }), undefined)
})

test('evaluating changes nothing of the training, and its lines stand in the metrics and the progress', async () => {
  const [with_, without] = [prepare(), prepare({ evalStrategy: 'no' })]
  const [record, plain] = [await train(with_.job), await train(without.job)]
  assert.deepEqual(adapterBits(with_.engine), adapterBits(without.engine))
  assert.deepEqual(
    record.metrics.map(({ loss }) => loss),
    plain.metrics.map(({ loss }) => loss),
  )
  const lines = metricLines(record)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>)
  assert.equal(lines.length, 32 + 11)
  assert.deepEqual(
    lines.slice(2, 5).map((line) => [line.step, 'loss' in line, 'evalLoss' in line]),
    [
      [3, true, false],
      [3, false, true],
      [4, true, false],
    ],
  )
  const last = with_.reports.at(-1)
  assert.equal(last?.evalLoss, record.evaluation?.lines.at(-1)?.evalLoss)
  assert.equal(last?.bestStep, record.evaluation?.bestStep)
  assert.ok(with_.reports.some(({ phase, microBatch }) => phase === 'evaluate' && microBatch === 3))
})

/** A held-out loss that falls and grows, so that there is a best in the middle and an early end. */
const curved = (losses: readonly number[]) => {
  let calls = 0
  return {
    evaluate: () => {
      const loss = losses[Math.min(calls++, losses.length - 1)] as number
      return Promise.resolve({ loss, perplexity: Math.exp(loss), tokenAccuracy: 0, tokens: 1 })
    },
  }
}

test('early stopping ends training, and loadBestModelAtEnd gives the adapter of the best evaluation', async () => {
  const losses = [3, 2, 1, 1.5, 1.2, 4]
  const change = { loadBestModelAtEnd: true, earlyStoppingPatience: 2 }
  const stopped = prepare(change, curved(losses))
  const record = await train(stopped.job)
  assert.equal(record.step, 15)
  assert.deepEqual([record.evaluation?.bestStep, record.evaluation?.bestLoss], [9, 1])
  const atBest = stopped.states.find((state) => state.record.step === 9)
  assert.deepEqual(
    adapterBits(stopped.engine),
    bits(Array.from(atBest?.adapter.values() ?? [], ({ data }) => data)),
  )
  const last = prepare({ earlyStoppingPatience: 2 }, curved(losses))
  await train(last.job)
  assert.notDeepEqual(adapterBits(last.engine), adapterBits(stopped.engine))
})

const kinds: { name: string; change: Partial<TrainSettings> }[] = [
  { name: 'the best of all', change: { loadBestModelAtEnd: true } },
  {
    name: 'an early end',
    change: { loadBestModelAtEnd: true, earlyStoppingPatience: 1, earlyStoppingThreshold: 0.02 },
  },
  {
    name: 'reduce_lr_on_plateau',
    change: {
      lrSchedulerType: 'reduce_lr_on_plateau',
      lrSchedulerKwargs: { patience: 0, threshold: 0.2, factor: 0.5 },
    },
  },
  {
    name: 'greedy, by accuracy',
    change: {
      lrSchedulerType: 'greedy',
      metricForBestModel: 'mean_token_accuracy',
      lrSchedulerKwargs: { patience: 0, factor: 0.7, smooth: true, windowSize: 2 },
    },
  },
]
for (const { name, change } of kinds)
  test(`killed at any step, before or after its evaluation, the end is the same bit for bit: ${name}`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'temper-evaluations-'))
    t.after(() => rm(dir, { recursive: true }))
    const whole = prepare(change)
    const record = await train(whole.job)
    if (record.metricSchedule)
      assert.ok(new Set(record.metrics.map(({ learningRate }) => learningRate)).size > 2)
    else assert.ok((record.evaluation?.lines.length as number) > 2)
    if (change.earlyStoppingPatience) assert.ok(record.step < 32)
    assert.equal(whole.states.length, record.step)
    for (const [i, state] of whole.states.entries()) {
      await writeState(dir, state)
      const read = await readState(dir, linearEngine().trained)
      // A checkpoint that was saved before the evaluation of its step knows nothing of it, and has the best of the one before.
      const before = whole.states[i - 1]
      const early = structuredClone(read)
      delete early.record.evaluation
      delete early.record.metricSchedule
      const { evaluation, metricSchedule } = before?.record ?? {}
      if (evaluation) early.record.evaluation = structuredClone(evaluation)
      if (metricSchedule) early.record.metricSchedule = metricSchedule
      early.best = before?.best && new Map(before.best)
      for (const resumeFrom of before ? [read, early] : [read]) {
        const resumed = prepare(change, { resumeFrom })
        const end = await train(resumed.job)
        assert.deepEqual(adapterBits(resumed.engine), adapterBits(whole.engine))
        const untimed = ({ evaluation: found }: typeof end) => ({
          ...found,
          lines: found?.lines.map((line) => ({ ...line, seconds: 0 })),
        })
        assert.deepEqual(untimed(end), untimed(record))
        assert.deepEqual(end.metricSchedule, record.metricSchedule)
      }
    }
  })

test('stopped in the middle of an evaluation: the step is saved without it, and the end is the same', async () => {
  const whole = prepare({ loadBestModelAtEnd: true })
  await train(whole.job)
  const stop = new AbortController()
  const slow = { checkpoint: { everySteps: 1000, everySeconds: 1e9, keepLast: 2 }, loadBestModelAtEnd: true }
  const { job, states } = prepare(slow, { signal: stop.signal })
  job.report = ({ phase, step, microBatch }) =>
    void (phase === 'evaluate' && step === 32 && microBatch === 1 && stop.abort('test'))
  await assert.rejects(train(job), StoppedError)
  const saved = states.at(-1)
  assert.equal(saved?.record.step, 32)
  assert.equal(saved?.record.evaluation?.lines.at(-1)?.step, 30)
  const resumed = prepare(slow, { resumeFrom: saved })
  await train(resumed.job)
  assert.deepEqual(adapterBits(resumed.engine), adapterBits(whole.engine))
})

test('a best evaluation is saved at once where training is to end with it', async () => {
  const slow = { checkpoint: { everySteps: 1000, everySeconds: 1e9, keepLast: 2 }, loadBestModelAtEnd: true }
  const { job, states } = prepare(slow, curved([3, 2, 2.5, 1, 4]))
  const record = await train(job)
  assert.deepEqual(
    states.map((state) => state.record.step),
    [3, 6, 12],
  )
  assert.equal(record.evaluation?.bestStep, 12)
})

test('an evaluation that is not finite: training goes back, leaves out the step before it, and goes on', async () => {
  const { job } = prepare({}, curved([3, Number.NaN, 2]))
  const record = await train(job)
  assert.deepEqual(record.rescue.rollbacks, [{ step: 6, to: 0, reason: 'notFinite', skipped: [5] }])
  assert.deepEqual(
    record.evaluation?.lines.slice(0, 2).map(({ step, evalLoss }) => [step, evalLoss]),
    [
      [3, 2],
      [6, 2],
    ],
  )
  const never = prepare({ divergence: { ...base.divergence, tries: 0 } }, curved([Number.NaN]))
  await assert.rejects(
    train(never.job),
    (error) => error instanceof NonFiniteError && /evaluation loss after step 3/.test(error.message),
  )
})
