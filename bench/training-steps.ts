import { modelTensors } from '../src/base/model-tensors.ts'
import type { LoraConfig } from '../src/model/adapter.ts'
import type { ModelConfig } from '../src/model/config.ts'
import { precisionPlan, type Checkpointing, type Precision } from '../src/model/precision.ts'
import type { WeightSource } from '../src/model/weights.ts'
import type { Device } from '../src/onnx/device.ts'
import { AdamW } from '../src/train/adamw.ts'
import { makeBatch, type Batch } from '../src/train/batch.ts'
import { createEngine } from '../src/train/create-engine.ts'
import { estimateMemory } from '../src/train/estimate-memory.ts'
import type { Layout } from '../src/train/engine.ts'
import { clipGradients } from '../src/train/gradient-clipping.ts'
import { startingLossScale } from '../src/train/loss-scale.ts'
import { initialAdapter } from '../src/train/lora-init.ts'
import { RandomStream } from '../src/train/random.ts'
import { openBenchModel } from './shaped-model.ts'

export interface StepsToRun {
  model: string
  sequence: number
  batch: number
  steps: number
  threads: number
  layout: Layout
  device?: Device
  precision: Precision
  checkpointing?: Checkpointing | undefined
  profileTo?: string
}

/** What is reckoned before the start, in MiB as VmHWM is. A bench saves no states. */
function estimated(
  config: ModelConfig,
  weights: WeightSource,
  lora: LoraConfig,
  {
    precision,
    checkpointing,
    batch,
    sequence,
  }: Pick<StepsToRun, 'precision' | 'checkpointing' | 'batch' | 'sequence'>,
): number {
  const plan = precisionPlan(precision, config, weights, checkpointing)
  const demand = { config, plan, lora, rows: batch, length: sequence, stateCopies: 0 }
  return Math.round(estimateMemory(demand).total / 2 ** 20)
}

/**
 * Training steps on random tokens with the loss at every position, LoRA r16 on all linear layers, AdamW included. The first
 * step makes the sessions and is not among `seconds`; `firstStep` is its end, from the start of the process.
 */
export async function trainingSteps({ model, sequence, batch, steps, ...options }: StepsToRun) {
  const begun = performance.now()
  const base = openBenchModel(model)
  const { config, weights } = base
  const targetModules = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
  const lora = { r: 16, loraAlpha: 16, loraDropout: 0, targetModules, useRslora: false }
  const adapter = initialAdapter(config, lora, 0)
  const randomBatch = (step: number): Batch => {
    const random = new RandomStream(1, 'data-order', step)
    const rows = Array.from({ length: batch }, (_, row) => {
      const ids = Int32Array.from({ length: sequence }, () => random.below(config.vocabularySize))
      return [{ id: `${row}`, ids, targets: ids.map(() => 1) }]
    })
    return makeBatch(rows)
  }
  const lossScale = options.precision === 'fp16' ? startingLossScale().scale : 1
  const opened = performance.now()
  const engine = await createEngine({ calibration: randomBatch(-1), config, weights, adapter, ...options })
  const optimizer = new AdamW(adapter, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 })
  const loaded = performance.now()
  const loadedMb = Math.round(process.resourceUsage().maxRSS / 1024)
  const seconds: number[] = []
  const cpuSeconds: number[] = []
  let loss = NaN
  let firstStep = NaN
  for (let step = 0; step <= steps; step++) {
    const given = randomBatch(step)
    const [start, cpu] = [performance.now(), process.cpuUsage()]
    engine.zeroGradients()
    const { lossSum, tokens } = await engine.accumulate(given, undefined, undefined, lossScale)
    const norm = clipGradients(engine.gradients, 1, 1 / tokens)
    if (Number.isFinite(norm) || options.precision !== 'fp16') optimizer.step(adapter, engine.gradients, 2e-4)
    loss = lossSum / tokens
    if (step === 0) firstStep = performance.now() / 1000
    else {
      seconds.push((performance.now() - start) / 1000)
      const { user, system } = process.cpuUsage(cpu)
      cpuSeconds.push((user + system) / 1e6)
    }
  }
  await engine.dispose()
  base.close()
  const split = [begun, opened - begun, loaded - opened, 1000 * firstStep - loaded].map(
    (ms) => Math.round(ms / 10) / 100,
  )
  const [startProgram, openModel, readWeights, takeFirstStep] = split
  return {
    seconds,
    /** Of all cores: what a step costs, however many other programs want them. */
    cpuSeconds,
    firstStep,
    loss,
    /** Seconds. */
    start: { startProgram, openModel, readWeights, takeFirstStep },
    loadedMb,
    parameters: modelTensors(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    ...(options.layout === 'by-layer' && {
      estimatedMb: estimated(config, weights, lora, { sequence, batch, ...options }),
    }),
  }
}
