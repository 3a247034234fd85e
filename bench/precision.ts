import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openBaseModel } from '../src/base/open-base-model.ts'
import { BY_LAYER_PRECISIONS, type Precision } from '../src/model/precision.ts'
import type { Adapter } from '../src/model/adapter.ts'
import { adapterWithB } from '../src/train/adapter-with-b.ts'
import { AdamW } from '../src/train/adamw.ts'
import { makeBatch, type Batch } from '../src/train/batch.ts'
import { createEngine } from '../src/train/create-engine.ts'
import type { Engine } from '../src/train/engine.ts'
import { clipGradients } from '../src/train/gradient-clipping.ts'
import { initialAdapter } from '../src/train/lora-init.ts'
import { roundedTo4Bits } from './rounded-base.ts'
import { compareGradients } from '../src/train/compare-gradients.ts'

const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
const LEARNING_RATE = 2e-4
/** Windows that are never trained on. */
const HELD_OUT = 8

const EXACT: Contestant = { name: 'exact', precision: 'exact', rounded: false }

interface Contestant {
  name: string
  precision: Precision
  /** The base that it trains on: `qlora` is also held against float32 on a base of the same 4 bits. */
  rounded: boolean
}

const CONTESTANTS: readonly Contestant[] = [
  ...BY_LAYER_PRECISIONS.map((precision) => ({ name: precision, precision, rounded: false })),
  { name: 'exact on 4 bits', precision: 'exact', rounded: true },
]

/**
 * How far each mode is from float32 on real text, this repository's own documents: the cosine of each layer's gradients, the
 * relative error of all, the loss; and with --steps the loss of held-out text after the same steps from a fresh adapter, in the
 * mode's own arithmetic and in float32 on the base as it is. What a mode calibrates itself on is no part of what it is
 * measured on.
 */
export async function benchPrecision(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string' },
      mode: { type: 'string', default: BY_LAYER_PRECISIONS.join() },
      sequence: { type: 'string', default: '512' },
      steps: { type: 'string', default: '0' },
      threads: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
    },
  })
  const { model, json } = values
  if (model === undefined) throw new Error('name a model folder or .gguf file with --model')
  const [sequence, steps, threads] = [values.sequence, values.steps, values.threads].map(Number) as [number, number, number] // prettier-ignore
  const windows = textWindows(model, sequence, steps + 1 + HELD_OUT)
  const modes = values.mode.split(',')
  const wanted = CONTESTANTS.filter(
    ({ name, rounded }) => name === 'exact' || modes.includes(rounded ? 'qlora' : name),
  )
  const setup = { model, threads, calibration: windows[1] as Batch }
  let exact: Awaited<ReturnType<typeof firstStep>> | undefined
  const lines = []
  for (const contestant of wanted) {
    const found = await firstStep(setup, contestant, windows[0] as Batch)
    exact ??= found
    const { layers, error } = compareGradients(found.gradients, exact.gradients)
    const line = {
      bench: 'precision',
      mode: contestant.name,
      lowestLayerCosine: round(Math.min(...layers)),
      meanLayerCosine: round(layers.reduce((a, b) => a + b, 0) / layers.length),
      relativeError: round(error),
      loss: round(found.loss),
      ...(steps > 0 &&
        (contestant.rounded || modes.includes(contestant.name)) && {
          steps,
          ...(await training(setup, contestant, windows)),
        }),
    }
    if (json) console.log(JSON.stringify({ ...line, layerCosines: layers.map(round) }))
    lines.push(line)
  }
  if (!json) console.table(lines)
}

interface Setup {
  model: string
  threads: number
  calibration: Batch
}

/** The loss and gradients of one batch with an adapter whose B is not zero. */
async function firstStep(setup: Setup, contestant: Contestant, batch: Batch) {
  const adapter = adapterFor(setup.model, adapterWithB)
  return withEngine(setup, contestant, adapter, async (engine) => {
    const { lossSum, tokens } = await engine.accumulate(batch)
    return { loss: lossSum / tokens, gradients: engine.gradients }
  })
}

/** Trains on all windows but the first and the held-out ones. */
async function training(setup: Setup, contestant: Contestant, windows: readonly Batch[]) {
  const adapter = adapterFor(setup.model, initialAdapter)
  const heldOut = async (engine: Engine): Promise<number> => {
    let [loss, count] = [0, 0]
    for (const batch of windows.slice(-HELD_OUT)) {
      const { lossSum, tokens } = await engine.evaluate(batch)
      loss += lossSum
      count += tokens
    }
    return round(loss / count)
  }
  const own = await withEngine(setup, contestant, adapter, async (engine) => {
    const optimizer = new AdamW(adapter, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 })
    const heldOutBefore = await heldOut(engine)
    for (const batch of windows.slice(1, -HELD_OUT)) {
      engine.zeroGradients()
      const { tokens } = await engine.accumulate(batch)
      clipGradients(engine.gradients, 1, 1 / tokens)
      optimizer.step(adapter, engine.gradients, LEARNING_RATE)
    }
    return { heldOutBefore, heldOutAfter: await heldOut(engine) }
  })
  const onBase = await withEngine(setup, EXACT, adapter, heldOut)
  return { ...own, heldOutOnBase: onBase }
}

function adapterFor(model: string, make: typeof initialAdapter): Adapter {
  const { config, close } = openBaseModel(model)
  close()
  const lora = { r: 16, loraAlpha: 16, loraDropout: 0, targetModules: TARGETS, useRslora: false }
  return make(config, lora, 7)
}

async function withEngine<T>(
  { model, threads, calibration }: Setup,
  { precision, rounded }: Contestant,
  adapter: Adapter,
  use: (engine: Engine) => Promise<T>,
): Promise<T> {
  const { config, weights, close } = openBaseModel(model)
  const source = rounded ? roundedTo4Bits(weights) : weights
  const engine = await createEngine({
    calibration,
    config,
    weights: source,
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
