import assert from 'node:assert/strict'
import { test } from 'node:test'
import { float32ToHalf } from '../../src/formats/numbers.ts'
import type { FrozenWeights, VocabularyMatrix } from '../../src/model/frozen-weights.ts'
import { headSlices } from '../../src/model/head-slices.ts'
import { parseModelConfig } from '../../src/model/parse-config.ts'
import { tensor } from '../../src/onnx/session.ts'
import { HeadGradients } from '../../src/train/head-gradients.ts'
import { HeadRunner } from '../../src/train/head-runner.ts'
import { RandomStream } from '../../src/train/random.ts'
import { readJsonFile } from '../../src/formats/json-file.ts'
import { goldenDir } from './tiny-engine.ts'

/** Wide enough for several slices of the vocabulary, and more rows than pass it together. */
const [VOCABULARY, WIDTH, ROWS] = [20_000, 8, 520]
const EPSILON = 1e-5

const config = parseModelConfig(
  { ...readJsonFile(`${goldenDir('tiny-llama')}/config.json`), vocab_size: VOCABULARY, hidden_size: WIDTH, num_attention_heads: 1, num_key_value_heads: 1, head_dim: 8, rms_norm_eps: EPSILON }, // prettier-ignore
  'config.json',
)
const random = new RandomStream(5, 'data-order')
const numbers = (count: number, scale: number) =>
  Float32Array.from({ length: count }, () => (2 * random.uniform() - 1) * scale)
/** Numbers that all formats hold. */
const FACTOR = 1 / 128
const whole = Int8Array.from({ length: VOCABULARY * WIDTH }, () => random.below(255) - 127)
const values = Float32Array.from(whole, (value) => value * FACTOR)
const norm = numbers(WIDTH, 1)
const x = numbers(ROWS * WIDTH, 2)
const labels = Int32Array.from({ length: ROWS }, () => random.below(VOCABULARY))
const places = Int32Array.from({ length: ROWS }, (_, row) => row)
const supervised = { places, labels }

type Format = 'float32' | 'float16' | 'int8' | 'w8a16'

const matrixOf = (format: Format): VocabularyMatrix => {
  const shape = [VOCABULARY, WIDTH]
  switch (format) {
    case 'float32':
      return { type: format, data: values, shape }
    case 'float16':
      return { type: format, data: float32ToHalf(values), shape }
    case 'int8':
    case 'w8a16':
      return { type: 'int8', data: whole, shape, factors: new Float32Array(VOCABULARY).fill(FACTOR), format }
  }
}

function runner(type: Format, smoothing = 0, frugal = false): HeadRunner {
  const head = matrixOf(type)
  const finalNorm = { type: 'float32' as const, data: norm, shape: [WIDTH] }
  const weights: FrozenWeights = { embedding: { at: 'memory', matrix: head }, linear: type, layers: [], finalNorm, head } // prettier-ignore
  return new HeadRunner(config, weights, { threads: 1, frugal }, smoothing)
}

/** Cross-entropy with label smoothing in float64: loss, the likeliest token and d loss / dx of one row. */
function reference(row: number, smoothing: number) {
  const input = Array.from(x.subarray(row * WIDTH, (row + 1) * WIDTH))
  const inverse = 1 / Math.sqrt(input.reduce((sum, v) => sum + v * v, 0) / WIDTH + EPSILON)
  const h = input.map((v, i) => v * inverse * (norm[i] as number))
  const rowOf = (token: number) => values.subarray(token * WIDTH, (token + 1) * WIDTH)
  const logits = Array.from({ length: VOCABULARY }, (_, token) =>
    h.reduce((sum, v, i) => sum + v * (rowOf(token)[i] as number), 0),
  )
  const logSum = Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0))
  const dh = Array.from({ length: WIDTH }, () => 0)
  let loss = logSum
  for (const [token, z] of logits.entries()) {
    const target = smoothing / VOCABULARY + (token === labels[row] ? 1 - smoothing : 0)
    loss -= target * z
    const weight = Math.exp(z - logSum) - target
    for (let i = 0; i < WIDTH; i++) dh[i] = (dh[i] as number) + weight * (rowOf(token)[i] as number)
  }
  const dn = dh.map((v, i) => v * (norm[i] as number))
  const along = dn.reduce((sum, v, i) => sum + v * (input[i] as number), 0)
  const dx = dn.map((v, i) => v * inverse - ((input[i] as number) * along * inverse ** 3) / WIDTH)
  return { loss, best: logits.indexOf(Math.max(...logits)), dx }
}

test('a vocabulary in slices gives the loss and the gradient of all of it at once, with smoothing too', async () => {
  const slices = Array.from(headSlices(matrixOf('float16'), 512), ({ first, feeds }) => [
    first,
    feeds.map(([name, { dims }]) => [name, dims]),
  ])
  assert.deepEqual(slices, [
    [0, [['head', [6667, WIDTH]]]],
    [6667, [['head', [6667, WIDTH]]]],
    [13334, [['head', [6666, WIDTH]]]],
  ])
  for (const [type, smoothing, frugal] of [
    ['float32', 0, false],
    ['float16', 0.1, true],
    ['int8', 0, false],
    ['w8a16', 0.1, true],
  ] as const) {
    // What two terms of 8 bits miss of h.
    const [gradientLimit, lossLimit] = type === 'w8a16' ? [1e-4, 1e-2] : [1e-5, 1e-3]
    const found = runner(type, smoothing, frugal)
    const { lossSum, dx } = await found.train(tensor('float32', x, [ROWS, WIDTH]), supervised)
    await found.dispose()
    let loss = 0
    for (let row = 0; row < ROWS; row += 1) {
      // Each reference row is a pass over the vocabulary: the first, one in between and those of the second chunk.
      if (row > 1 && row !== 300 && row < 512) continue
      const want = reference(row, smoothing)
      loss += want.loss
      for (const [i, value] of want.dx.entries())
        assert.ok(Math.abs((dx.data as Float32Array)[row * WIDTH + i] as number - value) < gradientLimit, `${type}: row ${row}`) // prettier-ignore
    }
    const few = [0, 1, 300, ...Array.from({ length: ROWS - 512 }, (_, i) => 512 + i)]
    const again = runner(type, smoothing, frugal)
    const some = { places: places.filter((p) => few.includes(p)), labels: labels.filter((_, p) => few.includes(p)) } // prettier-ignore
    const part = await again.train(tensor('float32', x, [ROWS, WIDTH]), some)
    await again.dispose()
    assert.ok(Math.abs(part.lossSum - loss) < lossLimit, `${part.lossSum}, wanted ${loss}`)
    assert.ok(lossSum > part.lossSum)
  }
})

/** Cross-entropy's gradients by the head and by the final norm in float64, summed over all rows. */
function weightGradients(smoothing: number) {
  const head = new Float64Array(VOCABULARY * WIDTH)
  const finalNorm = new Float64Array(WIDTH)
  for (let row = 0; row < ROWS; row++) {
    const input = Array.from(x.subarray(row * WIDTH, (row + 1) * WIDTH))
    const inverse = 1 / Math.sqrt(input.reduce((sum, v) => sum + v * v, 0) / WIDTH + EPSILON)
    const n = input.map((v) => v * inverse)
    const h = n.map((v, i) => v * (norm[i] as number))
    const logits = new Float64Array(VOCABULARY)
    let sum = 0
    for (let token = 0; token < VOCABULARY; token++) {
      for (let i = 0; i < WIDTH; i++)
        logits[token] = (logits[token] as number) + (h[i] as number) * (values[token * WIDTH + i] as number)
      sum += Math.exp(logits[token] as number)
    }
    for (let token = 0; token < VOCABULARY; token++) {
      const target = smoothing / VOCABULARY + (token === labels[row] ? 1 - smoothing : 0)
      const weight = Math.exp(logits[token] as number) / sum - target
      for (let i = 0; i < WIDTH; i++) {
        const at = token * WIDTH + i
        head[at] = (head[at] as number) + weight * (h[i] as number)
        finalNorm[i] = (finalNorm[i] as number) + weight * (values[at] as number) * (n[i] as number)
      }
    }
  }
  return { head, finalNorm }
}

test('where they are trained, head and final norm get the gradients of all rows and slices together', async () => {
  const smoothing = 0.1
  const sums = { head: new Float32Array(VOCABULARY * WIDTH), finalNorm: new Float32Array(WIDTH) }
  const head = matrixOf('float32')
  const finalNorm = { type: 'float32' as const, data: norm, shape: [WIDTH] }
  const weights: FrozenWeights = { embedding: { at: 'memory', matrix: head }, linear: 'float32', layers: [], finalNorm, head } // prettier-ignore
  const options = { threads: 1, frugal: true }
  const gradients = new HeadGradients(config, weights, sums, smoothing, options)
  const trained = new HeadRunner(config, weights, options, smoothing, gradients)
  await trained.train(tensor('float32', x, [ROWS, WIDTH]), supervised)
  await trained.dispose()
  const want = weightGradients(smoothing)
  for (const name of ['head', 'finalNorm'] as const) {
    const largest = want[name].reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    const error = sums[name].reduce((most, value, i) => Math.max(most, Math.abs(value - (want[name][i] as number))), 0) // prettier-ignore
    assert.ok(error < 1e-4 * largest, `${name}: ${error} of ${largest}`)
  }
})

test('the likeliest token is found across slices', async () => {
  const rows = [0, 7, 515]
  const likeliest = rows.map((row) => reference(row, 0).best)
  const engine = runner('float16')
  const all = { places: Int32Array.from(rows), labels: Int32Array.from(likeliest) }
  const given = tensor('float32', x, [ROWS, WIDTH])
  assert.equal((await engine.evaluate(given, all)).correct, 3)
  const wrong = { ...all, labels: Int32Array.from(likeliest, (token) => (token + 1) % VOCABULARY) }
  assert.equal((await engine.evaluate(given, wrong)).correct, 0)
  await engine.dispose()
})
