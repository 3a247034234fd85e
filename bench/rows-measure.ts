import { openBaseModel } from '../src/base/open-base-model.ts'
import { readNamedRows } from '../src/train/read-rows.ts'
import { PRECISIONS } from '../src/model/precision.ts'
import { fineTuneSchema } from '../src/spec/fine-tune.ts'
import { batchOf, type NamedRows } from '../src/train/batches.ts'
import { calibrationRows } from '../src/train/calibration-rows.ts'
import { monotonicClock } from '../src/train/clock.ts'
import { createEngine } from '../src/train/create-engine.ts'
import type { Engine } from '../src/train/engine.ts'
import { thisEnvironment } from '../src/train/environment.ts'
import { initialAdapter } from '../src/train/lora-init.ts'
import { resolveTrainSettings } from '../src/train/train-settings.ts'
import { train } from '../src/train/train.ts'

const [model = '', tokenizedDir = '', mode = '', threads = '2', micro = '8'] = process.argv.slice(2)
/** TRL's rows of a batch, and how many of them pass at a time. */
const BATCH_ROWS = 8
const microRows = Number(micro)

/** What bench/peers/trl_sft.py sets, and what SFTTrainer and TrainingArguments have by default. */
const { spec } = fineTuneSchema.parse({
  apiVersion: 'temper.dev/v1alpha1',
  kind: 'FineTune',
  metadata: { name: 'rows' },
  spec: {
    model: { source: model },
    data: { train: ['train.jsonl'] },
    train: {
      r: 16,
      loraAlpha: 16,
      learningRate: 2e-4,
      lrSchedulerType: 'cosine',
      warmupSteps: 5,
      numTrainEpochs: 1,
      perDeviceTrainBatchSize: microRows,
      gradientAccumulationSteps: BATCH_ROWS / microRows,
      precision: PRECISIONS.find((known) => known === mode) ?? 'exact',
      threads: Number(threads),
      seed: 0,
    },
  },
})
const settings = resolveTrainSettings(spec.train, spec.data.maxLength)
const base = openBaseModel(model)
const { r, loraAlpha, loraDropout, useRslora } = settings
const targetModules = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
const rows = readNamedRows(tokenizedDir, 'train')
const held = readNamedRows(tokenizedDir, 'eval')
const engine = await createEngine({
  calibration: calibrationRows(rows),
  config: base.config,
  weights: base.weights,
  adapter: initialAdapter(
    base.config,
    { r, loraAlpha, loraDropout, useRslora, targetModules },
    settings.seed,
  ),
  layout: settings.layout,
  precision: settings.precision === 'auto' ? 'exact' : settings.precision,
  threads: settings.threads,
})

const evalLossBefore = await evaluationLoss(engine, held)
const start = performance.now()
const record = await train({
  engine,
  rows: withTurnsToTheirEnd(rows),
  settings,
  environment: thisEnvironment(settings),
  resumeFrom: undefined,
  clock: monotonicClock,
  signal: new AbortController().signal,
  save: () => Promise.resolve(),
  report: () => {},
  log: () => {},
})
const seconds = (performance.now() - start) / 1000
const evalLossAfter = await evaluationLoss(engine, held)
console.log(
  JSON.stringify({
    mode: settings.precision,
    rows: rows.count,
    micro: microRows,
    tokens: record.trainedTokens,
    trainSeconds: round(seconds),
    tokensPerSecond: round(record.trainedTokens / seconds),
    evalLossBefore,
    evalLossAfter,
    steps: record.step,
  }),
)
await engine.dispose()
base.close()

/**
 * As transformers' Trainer: batches of eight in the file's order, the mean of each, and the mean of these by their rows. A batch is passed in
 * pieces as large as training's.
 */
async function evaluationLoss(model: Engine, given: NamedRows): Promise<number> {
  const named = withTurnsToTheirEnd(given)
  let sum = 0
  for (let from = 0; from < named.count; from += BATCH_ROWS) {
    const numbers = Array.from({ length: Math.min(BATCH_ROWS, named.count - from) }, (_, i) => from + i)
    const all = { lossSum: 0, tokens: 0 }
    for (let at = 0; at < numbers.length; at += microRows) {
      const { lossSum, tokens } = await model.evaluate(batchOf(named, numbers.slice(at, at + microRows)))
      all.lossSum += lossSum
      all.tokens += tokens
    }
    sum += (all.lossSum / all.tokens) * numbers.length
  }
  return sum / named.count
}

/** TRL's completion is all that follows the prompt: the template's line break behind the end of the turn counts there. */
function withTurnsToTheirEnd(named: NamedRows): NamedRows {
  return {
    ...named,
    lossMask(row) {
      const mask = named.lossMask(row)
      return mask.fill(1, mask.indexOf(1))
    },
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
