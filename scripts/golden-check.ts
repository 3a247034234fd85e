import { openBaseModel } from '../src/base/open-base-model.ts'
import { generate } from '../src/eval/generate.ts'
import { mergedWeights } from '../src/export/merged-weights.ts'
import type { Device } from '../src/onnx/device.ts'
import { AdamW } from '../src/train/adamw.ts'
import type { Batch } from '../src/train/batch.ts'
import { createEngine } from '../src/train/create-engine.ts'
import type { Engine, Layout } from '../src/train/engine.ts'
import { clipGradients, scaleGradients } from '../src/train/gradient-clipping.ts'
import { learningRateAt, type ScheduleName } from '../src/train/schedule.ts'
import { readExpected, readFloats, readPacked, readPadded, readStartAdapter, readTrainingBatches, type Expected } from './golden-files.ts' // prettier-ignore

/** Above this, a relative error is a mistake and no rounding. */
export const GOLDEN_TOLERANCE = 1e-4

/** The largest relative error of each golden value; of a tensor: largest difference over largest absolute value. */
export interface GoldenLine {
  dir: string
  layout: Layout
  logits: number
  loss: number
  packedLoss: number
  gradients: number
  losses: number
  gradientNorms: number
  adapter: number
  merged: number
  /** The greedy continuation is the same, token for token. */
  greedy: boolean
}

/** Runs a golden directory in one layout: forward, backward, packing, the AdamW steps, merging and greedy decoding. */
export async function checkGolden(
  dir: string,
  layout: Layout,
  threads: number,
  device: Device = 'cpu',
): Promise<GoldenLine> {
  const expected = readExpected(dir)
  const adapter = readStartAdapter(dir)
  const base = openBaseModel(dir)
  const engine = await createEngine({
    config: base.config,
    weights: base.weights,
    adapter,
    layout,
    threads,
    device,
  })
  try {
    const padded = readPadded(dir)
    const found = maskPadding(await engine.logits(padded.batch), padded.batch)
    const { lossSum, tokens } = await engine.accumulate(padded.batch)
    scaleGradients(engine.gradients, 1 / tokens)
    const gradients = worstTensor(engine.gradients, readFloats(dir, 'gradients'))
    const packed = await engine.evaluate(readPacked(dir))

    const { losses, norms } = await train(engine, readTrainingBatches(dir), expected.training)
    const merged = mergedWeights(base.weights, adapter)
    const wantMerged = readFloats(dir, 'merged_after_10_steps')
    const trained = new Map(Array.from(adapter.tensors, ([name, { data }]) => [name, data]))
    return {
      dir,
      layout,
      logits: relativeError(found, padded.logits),
      loss: relativeError([lossSum / tokens], [expected.loss]),
      packedLoss: relativeError([packed.lossSum / packed.tokens], [expected.packed_loss]),
      gradients,
      losses: worstNumber(losses, expected.training.losses),
      gradientNorms: worstNumber(norms, expected.training.gradient_norms),
      adapter: worstTensor(trained, readFloats(dir, 'adapter_after_10_steps')),
      merged: worstTensor({ get: (name) => merged.float32(name) }, wantMerged),
      greedy: await sameContinuation(engine, expected.greedy),
    }
  } finally {
    await engine.dispose()
    base.close()
  }
}

export function isGolden(line: GoldenLine): boolean {
  const { dir: _dir, layout: _layout, greedy, ...errors } = line
  return greedy && Object.values(errors).every((error) => error <= GOLDEN_TOLERANCE)
}

type TrainingSettings = Omit<Expected['training'], 'losses' | 'gradient_norms'>

/** The golden AdamW steps. */
export async function train(
  engine: Engine,
  batches: readonly Batch[],
  settings: TrainingSettings,
): Promise<{ losses: number[]; norms: number[] }> {
  const [, name, warmupSteps, totalSteps] =
    /^(\w+), (\d+) warm-up steps of (\d+)$/.exec(settings.schedule) ?? []
  const schedule = {
    name: name as ScheduleName,
    learningRate: settings.lr,
    warmupSteps: Number(warmupSteps),
    totalSteps: Number(totalSteps),
  }
  const [beta1, beta2] = settings.betas
  const { eps: epsilon, weight_decay: weightDecay } = settings
  const optimizer = new AdamW(engine.trained, { beta1, beta2, epsilon, weightDecay })
  const losses: number[] = []
  const norms: number[] = []
  for (const [step, batch] of batches.entries()) {
    engine.zeroGradients()
    const { lossSum, tokens } = await engine.accumulate(batch)
    scaleGradients(engine.gradients, 1 / tokens)
    losses.push(lossSum / tokens)
    norms.push(clipGradients(engine.gradients, settings.max_grad_norm))
    optimizer.step(engine.trained, engine.gradients, learningRateAt(step, schedule))
  }
  return { losses, norms }
}

async function sameContinuation(engine: Engine, { prompt, tokens }: Expected['greedy']): Promise<boolean> {
  const decoder = await engine.decoder()
  try {
    const maxNewTokens = tokens.length - prompt.length
    const answer = await generate(decoder, prompt, { maxNewTokens, eosTokenIds: [] })
    return [...prompt, ...answer].join() === tokens.join()
  } finally {
    await decoder.dispose()
  }
}

/** The golden logits are 0 at padding. */
function maskPadding(logits: Float32Array, { segments }: Batch): Float32Array {
  const vocabulary = logits.length / segments.length
  return logits.map((logit, i) => (segments[Math.floor(i / vocabulary)] === 0 ? 0 : logit))
}

type Floats = ArrayLike<number>

export function relativeError(found: Floats, want: Floats): number {
  if (found.length !== want.length) return Infinity
  let difference = 0
  let largest = 0
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs((found[i] as number) - (want[i] as number))
    if (Number.isNaN(error)) return Infinity
    difference = Math.max(difference, error)
    largest = Math.max(largest, Math.abs(want[i] as number))
  }
  return difference / largest
}

export function worstNumber(found: readonly number[], want: readonly number[]): number {
  if (found.length !== want.length) return Infinity
  return Math.max(...want.map((value, i) => relativeError([found[i] as number], [value])))
}

export function worstTensor(
  found: { get(name: string): Float32Array | undefined },
  want: Map<string, Float32Array>,
): number {
  return Math.max(...Array.from(want, ([name, values]) => relativeError(found.get(name) ?? [], values)))
}
