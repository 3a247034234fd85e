import type { Adapter } from '../../src/model/adapter.ts'
import { type Batch, IGNORED_LABEL } from '../../src/train/batch.ts'
import type { NamedRows } from '../../src/train/batches.ts'
import type { Engine } from '../../src/train/engine.ts'

const VOCABULARY = 8
const RANK = 2

/**
 * A small real model behind the Engine's interface: the next token's id is predicted as (B·A)[previous token], the loss is
 * half the squared error. Its sums run token by token, so that micro-batches of any size give the same bits.
 */
export function linearEngine(options: { poisonedRow?: string; poisonedGradient?: boolean } = {}): Engine {
  const start = (length: number, scale: number) =>
    Float32Array.from({ length }, (_, i) => scale * Math.sin(i + 1))
  const a = { shape: [RANK, VOCABULARY] as [number, number], data: start(RANK * VOCABULARY, 0.5) }
  const b = { shape: [1, RANK] as [number, number], data: start(RANK, 0.7) }
  const adapter: Adapter = {
    config: { r: RANK, loraAlpha: RANK, loraDropout: 0, targetModules: ['linear'], useRslora: false },
    tensors: new Map([
      ['linear.lora_A.weight', a],
      ['linear.lora_B.weight', b],
    ]),
  }
  const gradients = new Map(
    Array.from(adapter.tensors, ([name, { data }]) => [name, new Float32Array(data.length)]),
  )
  const gradientOf = (name: string) => gradients.get(name) as Float32Array
  const [gradientA, gradientB] = [gradientOf('linear.lora_A.weight'), gradientOf('linear.lora_B.weight')]
  const at = (array: ArrayLike<number>, i: number) => array[i] as number

  function* targets(batch: Batch): Generator<{ previous: number; label: number; error: number }> {
    for (let i = 1; i < batch.inputIds.length; i++) {
      const label = at(batch.labels, i)
      if (label === IGNORED_LABEL) continue
      const previous = at(batch.inputIds, i - 1)
      let predicted = 0
      for (let k = 0; k < RANK; k++) predicted += at(b.data, k) * at(a.data, k * VOCABULARY + previous)
      yield { previous, label, error: predicted - label }
    }
  }
  const unused = () => Promise.reject(new Error('no part of training'))
  return {
    trained: adapter,
    gradients,
    async accumulate(batch, progress) {
      let lossSum = 0
      let tokens = 0
      await new Promise((resolve) => setImmediate(resolve))
      for (const { previous, error } of targets(batch)) {
        lossSum += error ** 2 / 2
        tokens++
        for (let k = 0; k < RANK; k++) {
          const cell = k * VOCABULARY + previous
          gradientA[cell] = at(gradientA, cell) + error * at(b.data, k)
          gradientB[k] = at(gradientB, k) + error * at(a.data, cell)
        }
      }
      progress?.(1)
      if (options.poisonedRow !== undefined && batch.rowIds.includes(options.poisonedRow)) {
        if (!options.poisonedGradient) return { lossSum: Number.NaN, tokens }
        gradientB[0] = Number.POSITIVE_INFINITY
      }
      return { lossSum, tokens }
    },
    zeroGradients() {
      for (const gradient of gradients.values()) gradient.fill(0)
    },
    evaluate(batch) {
      let lossSum = 0
      let tokens = 0
      let correct = 0
      for (const { label, error } of targets(batch)) {
        lossSum += error ** 2 / 2
        tokens++
        if (Math.round(error + label) === label) correct++
      }
      return Promise.resolve({ lossSum, tokens, correct })
    },
    largestActivations: () => Promise.resolve([1.5, Number.NaN]),
    logits: unused,
    decoder: unused,
    dispose: () => Promise.resolve(),
  }
}

/** Rows of different lengths; the first third of each is no target. */
export function linearRows(count: number): NamedRows {
  const rows = Array.from({ length: count }, (_, row) => {
    const length = 4 + ((row * 5) % 7)
    return {
      ids: Int32Array.from({ length }, (_, t) => (row * 3 + t * t) % VOCABULARY),
      mask: Uint8Array.from({ length }, (_, t) => (t >= length / 3 ? 1 : 0)),
    }
  })
  const row = (i: number) => rows[i] as (typeof rows)[number]
  return { count, id: (i) => `row${i}`, ids: (i) => row(i).ids, lossMask: (i) => row(i).mask }
}
