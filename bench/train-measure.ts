import { openBaseModel } from '../src/base/open-base-model.ts'
import { PRECISIONS, type Precision } from '../src/model/precision.ts'
import { AdamW } from '../src/train/adamw.ts'
import { makeBatch } from '../src/train/batch.ts'
import { createEngine } from '../src/train/create-engine.ts'
import type { Layout } from '../src/train/engine.ts'
import { clipGradients, scaleGradients } from '../src/train/gradient-clipping.ts'
import { initialAdapter } from '../src/train/lora-init.ts'
import { RandomStream } from '../src/train/random.ts'

const [model = '', ...rest] = process.argv.slice(2)
const [sequence = 512, batch = 1, steps = 5, threads = 2] = rest.slice(0, 4).map(Number)
const layout: Layout = rest[4] === 'whole' ? 'whole' : 'by-layer'
const precision: Precision = PRECISIONS.find((known) => known === rest[5]) ?? 'exact'

const base = openBaseModel(model)
const { config, weights } = base
const targetModules = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
const lora = { r: 16, loraAlpha: 16, loraDropout: 0, targetModules, useRslora: false }
const adapter = initialAdapter(config, lora, 0)
const engine = await createEngine({ config, weights, adapter, layout, threads, precision })
base.close()
const optimizer = new AdamW(adapter, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 })

const seconds: number[] = []
let loss = NaN
let firstStepSeconds = NaN
// The first step is a warm-up: it makes the sessions.
for (let step = 0; step <= steps; step++) {
  const random = new RandomStream(1, 'data-order', step)
  const rows = Array.from({ length: batch }, (_, row) => {
    const ids = Int32Array.from({ length: sequence }, () => random.below(config.vocabularySize))
    return [{ id: `${row}`, ids, targets: ids.map(() => 1) }]
  })
  const start = performance.now()
  engine.zeroGradients()
  const { lossSum, tokens } = await engine.accumulate(makeBatch(rows))
  scaleGradients(engine.gradients, 1 / tokens)
  clipGradients(engine.gradients, 1)
  optimizer.step(adapter, engine.gradients, 2e-4)
  loss = lossSum / tokens
  if (step === 0) firstStepSeconds = performance.now() / 1000
  else seconds.push((performance.now() - start) / 1000)
}
const median = seconds.sort((a, b) => a - b)[seconds.length >> 1] ?? NaN
console.log(
  JSON.stringify({
    mode: precision,
    layout,
    batch,
    sequence,
    tokensPerSecond: Math.round((10 * batch * sequence) / median) / 10,
    bestTokensPerSecond: Math.round((10 * batch * sequence) / (seconds[0] ?? NaN)) / 10,
    // From the start of the process to the end of the first step.
    firstStepSeconds: Math.round(firstStepSeconds * 10) / 10,
    loss,
  }),
)
await engine.dispose()
