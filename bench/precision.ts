import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openBaseModel } from '../src/base/open-base-model.ts'
import { PRECISIONS, type Precision } from '../src/model/precision.ts'
import { AdamW } from '../src/train/adamw.ts'
import { makeBatch, type Batch } from '../src/train/batch.ts'
import { createEngine } from '../src/train/create-engine.ts'
import { clipGradients, scaleGradients } from '../src/train/gradient-clipping.ts'
import { initialAdapter } from '../src/train/lora-init.ts'
import { RandomStream } from '../src/train/random.ts'
import { compareGradients } from '../test/engine/compare-gradients.ts'

const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
/** As large as B becomes in a short training: gradients of A then say something too. */
const LARGEST_B = 0.02
const LEARNING_RATE = 2e-4

/**
 * How far each mode is from float32 on real text, this repository's own documents: the cosine of each layer's gradients, the
 * relative error of all, the loss; and with --steps the loss of a held-out text after the same steps from a fresh adapter.
 */
export async function benchPrecision(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string' },
      mode: { type: 'string', default: PRECISIONS.join() },
      sequence: { type: 'string', default: '512' },
      steps: { type: 'string', default: '0' },
      threads: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
    },
  })
  const { model, json } = values
  if (model === undefined) throw new Error('name a model folder or .gguf file with --model')
  const [sequence, steps, threads] = [values.sequence, values.steps, values.threads].map(Number) as [number, number, number] // prettier-ignore
  const windows = textWindows(model, sequence, steps + 3)
  let exact: Awaited<ReturnType<typeof firstStep>> | undefined
  const lines = []
  for (const mode of PRECISIONS.filter(
    (known) => known === 'exact' || values.mode.split(',').includes(known),
  )) {
    const found = await firstStep(model, mode, threads, windows[0] as Batch, windows[1] as Batch)
    exact ??= found
    const { layers, error } = compareGradients(found.gradients, exact.gradients)
    const line = {
      bench: 'precision',
      mode,
      lowestLayerCosine: round(Math.min(...layers)),
      meanLayerCosine: round(layers.reduce((a, b) => a + b, 0) / layers.length),
      relativeError: round(error),
      loss: round(found.loss),
      ...(steps > 0 && { steps, ...(await training(model, mode, threads, windows)) }),
    }
    if (json) console.log(JSON.stringify({ ...line, layerCosines: layers.map(round) }))
    lines.push(line)
  }
  if (!json) console.table(lines)
}

/** The loss and gradients of one batch with an adapter whose B is not zero. */
async function firstStep(
  model: string,
  precision: Precision,
  threads: number,
  batch: Batch,
  calibration: Batch,
) {
  return withEngine(model, precision, threads, LARGEST_B, calibration, async (engine) => {
    const { lossSum, tokens } = await engine.accumulate(batch)
    return { loss: lossSum / tokens, gradients: engine.gradients }
  })
}

/** Trains on all windows but the first and the last two; those two are held out. */
async function training(model: string, precision: Precision, threads: number, windows: readonly Batch[]) {
  return withEngine(model, precision, threads, 0, windows[1] as Batch, async (engine) => {
    const optimizer = new AdamW(engine.adapter, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 })
    const heldOut = async (): Promise<number> => {
      let [loss, count] = [0, 0]
      for (const batch of windows.slice(-2)) {
        const { lossSum, tokens } = await engine.evaluate(batch)
        loss += lossSum
        count += tokens
      }
      return round(loss / count)
    }
    const heldOutBefore = await heldOut()
    for (const batch of windows.slice(1, -2)) {
      engine.zeroGradients()
      const { tokens } = await engine.accumulate(batch)
      scaleGradients(engine.gradients, 1 / tokens)
      clipGradients(engine.gradients, 1)
      optimizer.step(engine.adapter, engine.gradients, LEARNING_RATE)
    }
    return { heldOutBefore, heldOutAfter: await heldOut() }
  })
}

async function withEngine<T>(
  model: string,
  precision: Precision,
  threads: number,
  largestB: number,
  calibration: Batch,
  use: (engine: Awaited<ReturnType<typeof createEngine>>) => Promise<T>,
): Promise<T> {
  const { config, weights, close } = openBaseModel(model)
  const lora = { r: 16, loraAlpha: 16, loraDropout: 0, targetModules: TARGETS, useRslora: false }
  const adapter = initialAdapter(config, lora, 0)
  const random = new RandomStream(7, 'lora-init')
  for (const [name, { data }] of adapter.tensors)
    if (name.includes('lora_B')) data.forEach((_, i) => (data[i] = (2 * random.uniform() - 1) * largestB))
  const engine = await createEngine({
    calibration,
    config,
    weights,
    adapter,
    layout: 'by-layer',
    threads,
    precision,
  })
  try {
    return await use(engine)
  } finally {
    await engine.dispose()
    close()
  }
}

/** Rows of `length` tokens, one after another, from this repository's documents. */
function textWindows(model: string, length: number, count: number): Batch[] {
  const { tokenizer, close } = openBaseModel(model)
  close()
  if (!tokenizer) throw new Error(`${model} has no tokenizer, so it has no text to be measured on`)
  const root = fileURLToPath(new URL('..', import.meta.url))
  const texts = globSync(['*.md', 'docs/*.md', 'src/**/*.ts'], { cwd: root }).sort().map((file) => readFileSync(`${root}/${file}`, 'utf8')) // prettier-ignore
  const windows: Batch[] = []
  let ids: number[] = []
  for (const text of texts) {
    if (windows.length === count) break
    ids = [...ids, ...tokenizer.encode(text)]
    for (; ids.length >= length && windows.length < count; ids = ids.slice(length)) {
      const row = ids.slice(0, length)
      windows.push(makeBatch([[{ id: `${windows.length}`, ids: row, targets: row.map(() => 1) }]]))
    }
  }
  if (windows.length < count) throw new Error(`the documents are ${windows.length} windows, not ${count}`)
  return windows
}

function round(value: number): number {
  return Math.round(value * 1e5) / 1e5
}
