import assert from 'node:assert/strict'
import { test } from 'node:test'
import { frozenLinear, LinearInput } from '../../src/model/frozen-linear.ts'
import { type LinearFormat, storeLinear } from '../../src/model/linear-format.ts'
import { extract } from '../../src/onnx/extract.ts'
import { differentiate } from '../../src/onnx/gradient.ts'
import { Graph, type Node, type Value } from '../../src/onnx/graph.ts'
import type { Detour, Rule } from '../../src/onnx/gradient-terms.ts'
import { Session, tensor } from '../../src/onnx/session.ts'
import type { WeightSource } from '../../src/model/weights.ts'
import { RandomStream } from '../../src/train/random.ts'

const [TOKENS, OUT, IN] = [5, 64, 48]

const random = new RandomStream(7, 'data-order', 0)
/** Of several sizes, row by row. */
const numbers = (rows: number, columns: number): Float32Array =>
  Float32Array.from(
    { length: rows * columns },
    (_, i) => ((random.below(20001) - 10000) / 10000) * (1 + (Math.floor(i / columns) % 7)),
  )
const weight = numbers(OUT, IN)
const x = numbers(TOKENS, IN)
const g = numbers(TOKENS, OUT)

const source = {
  infos: new Map([['w', { name: 'w', type: 'F32', shape: [OUT, IN] }]]),
  rows: (_: string, from: number, to: number) => weight.slice(from * IN, to * IN),
} as unknown as WeightSource

/** The matrix that a format stands for, from what is stored, one number at a time. */
function numbersOf(format: LinearFormat): number[] {
  const stored = new Map(storeLinear('w', source, 'w', [OUT, IN], format))
  const [whole, factors, multipliers] = ['w', 'w.factors', 'w.multipliers'].map((name) => stored.get(name)?.data) as [Uint8Array, Float32Array, Uint8Array | undefined] // prettier-ignore
  const signed = multipliers && Int8Array.from(multipliers)
  return Array.from({ length: OUT * IN }, (_, i) => {
    const [row, column] = [Math.floor(i / IN), i % IN]
    const factor = factors[row] as number
    if (!signed) return factor * (whole[i] as number)
    const half = (OUT / 2) * IN
    const number = i < half ? (whole[i] as number) % 16 : Math.floor((whole[i - half] as number) / 16)
    const multiplier = signed[Math.floor(row / 16) * IN + column] as number
    return factor * multiplier * (number - 8)
  })
}

/** A·B, or A·Bᵀ, of rows. */
function times(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  rows: number,
  inner: number,
  at: (k: number, n: number) => number,
  columns: number,
): number[] {
  // prettier-ignore
  return Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns]
    let sum = 0
    for (let k = 0; k < inner; k++) sum += (a[row * inner + k] as number) * (b[at(k, column)] as number)
    return sum
  })
}

function error(got: ArrayLike<number>, want: readonly number[]): number {
  const squares = want.reduce((sum, value, i) => sum + (value - (got[i] as number)) ** 2, 0)
  return Math.sqrt(squares / want.reduce((sum, value) => sum + value ** 2, 0))
}

async function run(format: LinearFormat): Promise<[Float32Array, Float32Array]> {
  const graph = new Graph()
  const rules = new Map<Node, Rule | Detour>()
  const inputs = new Map<string, Value>()
  const input = (name: string, type: Value['type'], shape: Value['shape']): Value => {
    const value = graph.input(name, type, shape)
    inputs.set(name, value)
    return value
  }
  const given = input('x', 'float32', [TOKENS, IN])
  const y = frozenLinear(new LinearInput(given), { name: 'w', out: OUT, in: IN, bias: undefined, format, compute: 'float32', input, rules }) // prettier-ignore
  const dy = input('g', 'float32', [TOKENS, OUT])
  const [dx] = differentiate(new Map([[y, dy]]), [given], rules) as [Value]
  const session = await Session.create(extract(inputs, new Map([['y', y], ['dx', dx]])), { threads: 1 }) // prettier-ignore
  try {
    const stored = storeLinear('w', source, 'w', [OUT, IN], format)
    const outputs = await session.run(
      new Map([
        ['x', tensor('float32', x, [TOKENS, IN])],
        ['g', tensor('float32', g, [TOKENS, OUT])],
        ...stored.map(([name, { type, data, shape }]) => [name, tensor(type, data, shape)] as const),
      ]),
    )
    return ['y', 'dx'].map((name) => outputs.get(name)?.data as Float32Array) as [Float32Array, Float32Array]
  } finally {
    await session.dispose()
  }
}

/** What the product may be off by: by rounding both sides to 8 bits, by rounding one to 16, or by float32's sums alone. */
const LIMITS = { int8: 1e-6, int4: 1e-6, w8a8: 1e-2, w8a16: 4e-5, w4a16: 4e-5 } as const

for (const [format, limit] of Object.entries(LIMITS) as [keyof typeof LIMITS, number][])
  test(`${format}: x·Wᵀ and g·W are those of the matrix that is stored`, async () => {
    const matrix = numbersOf(format)
    const [y, dx] = await run(format)
    const errors = [
      error(
        y,
        times(x, matrix, TOKENS, IN, (k, n) => n * IN + k, OUT),
      ),
      error(
        dx,
        times(g, matrix, TOKENS, OUT, (k, n) => k * IN + n, IN),
      ),
    ]
    for (const found of errors) {
      assert.ok(found < limit, `${found}`)
      // Rounded there is, or the test would hold the float32 path only.
      if (limit > 1e-6) assert.ok(found > limit / 100, `${found}`)
    }
  })

for (const [format, limit] of [
  ['w8a16', 0.005],
  ['w4a16', 0.1],
] as const)
  // prettier-ignore
  test(`${format}: the stored matrix is the given one but for its bits`, () => {
    assert.ok(error(numbersOf(format), Array.from(weight)) < limit)
  })

test('a row of zeros, a column of zeros and a matrix of zeros stay zeros in 4 bits', () => {
  const kept = weight.slice()
  try {
    weight.fill(0, 3 * IN, 4 * IN)
    for (let row = 0; row < OUT; row++) weight[row * IN + 5] = 0
    const some = numbersOf('w4a16')
    for (let i = 0; i < OUT * IN; i++)
      if (Math.floor(i / IN) === 3 || i % IN === 5) assert.equal(Math.abs(some[i] as number), 0)
    weight.fill(0)
    assert.ok(numbersOf('w4a16').every((value) => Math.abs(value) === 0))
  } finally {
    weight.set(kept)
  }
})
