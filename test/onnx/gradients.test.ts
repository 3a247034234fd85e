import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { RULES } from '../../src/onnx/gradient-rules.ts'
import type { DataType, Value } from '../../src/onnx/graph.ts'
import * as o from '../../src/onnx/ops.ts'
import { checkGradients } from './finite-differences.ts'

interface Case {
  op: string
  shapes: number[][]
  f: (...x: [Value, Value, Value]) => Value
  /** Values are drawn from here; UNIT if not said. */
  range?: [number, number]
  /** Zero and ties are points like any other, but where the function has no derivative they are left out. */
  smoothOnly?: true
  type?: DataType
}

const positions = (x: Value): Value =>
  x.graph.constant('int64', [2, 3], BigInt64Array.of(0n, 1n, 2n, 3n, 0n, 1n))
const angles = (x: Value, f: (angle: number) => number): Value =>
  x.graph.constant(
    'float32',
    [4, 2],
    Float32Array.from({ length: 8 }, (_, i) => f((i >> 1) / (1 + 9 * (i & 1)))),
  )

const product = (parts: Value[]): Value => parts.reduce((a, b) => o.mul(a, b))

const cases: Case[] = [
  { op: 'Add', shapes: [[2, 3], [3]], f: (a, b) => o.add(a, b) },
  {
    op: 'Add',
    shapes: [
      [2, 1, 3],
      [4, 1],
    ],
    f: (a, b) => o.add(a, b),
  },
  {
    op: 'Sub',
    shapes: [
      [2, 3],
      [2, 1],
    ],
    f: (a, b) => o.sub(a, b),
  },
  {
    op: 'Mul',
    shapes: [
      [2, 3],
      [1, 3],
    ],
    f: (a, b) => o.mul(a, b),
  },
  { op: 'Mul', shapes: [[2, 3]], f: (a) => o.mul(a, a) },
  { op: 'Div', shapes: [[2, 3], [3]], f: (a, b) => o.div(a, b), range: [0.5, 2], smoothOnly: true },
  { op: 'Neg', shapes: [[4]], f: (a) => o.neg(a) },
  { op: 'Exp', shapes: [[4]], f: (a) => o.exp(a) },
  { op: 'Log', shapes: [[4]], f: (a) => o.log(a), range: [0.5, 2], smoothOnly: true },
  { op: 'Sqrt', shapes: [[4]], f: (a) => o.sqrt(a), range: [0.5, 2], smoothOnly: true },
  { op: 'Sigmoid', shapes: [[4]], f: (a) => o.sigmoid(a) },
  { op: 'QuickGelu', shapes: [[2, 4]], f: (a) => o.quickGelu(a, 1), type: 'float32' },
  { op: 'QuickGelu', shapes: [[2, 4]], f: (a) => o.quickGelu(a, 1.7), type: 'float32' },
  { op: 'Cast', shapes: [[3]], f: (a) => o.cast(o.cast(a, 'float64'), 'float32'), type: 'float32' },
  {
    op: 'MatMul',
    shapes: [
      [2, 3],
      [3, 4],
    ],
    f: (a, b) => o.matmul(a, b),
  },
  {
    op: 'MatMul',
    shapes: [
      [2, 2, 3],
      [3, 2],
    ],
    f: (a, b) => o.matmul(a, b),
  },
  {
    op: 'MatMul',
    shapes: [
      [1, 2, 2, 3],
      [2, 1, 3, 2],
    ],
    f: (a, b) => o.matmul(a, b),
  },
  ...[false, true].flatMap((transA) =>
    [false, true].flatMap((transB): Case[] => {
      const shapes = [transA ? [3, 2] : [2, 3], transB ? [4, 3] : [3, 4], [4]]
      return [
        { op: 'Gemm', shapes, f: (a, b, c) => o.gemm(a, b, { c, transA, transB, alpha: 0.5 }) },
        {
          op: 'FusedMatMul',
          shapes: shapes.map((s) => [2, ...s]),
          f: (a, b) => o.matmul(a, b, { transA, transB, alpha: -2 }),
        },
      ]
    }),
  ),
  { op: 'Transpose', shapes: [[2, 3, 4]], f: (a) => o.transpose(a, [2, 0, 1]) },
  { op: 'Reshape', shapes: [[2, 6]], f: (a) => o.reshape(a, [3, 4]) },
  { op: 'Expand', shapes: [[2, 1]], f: (a) => o.expand(a, [3, 2, 4]) },
  { op: 'Slice', shapes: [[2, 5]], f: (a) => o.slice(a, 1, 1, 4) },
  { op: 'Pad', shapes: [[2, 3]], f: (a) => o.pad(a, 1, 2, 1) },
  {
    op: 'Concat',
    shapes: [
      [2, 3],
      [2, 1],
    ],
    f: (a, b) => o.concat([a, b, a], -1),
  },
  { op: 'Split', shapes: [[2, 5]], f: (a) => o.split(a, 1, [1, 3, 1])[1] as Value },
  { op: 'Split', shapes: [[2, 4]], f: (a) => product(o.split(a, 1, [2, 2])) },
  {
    op: 'Gather',
    shapes: [[4, 2]],
    f: (a) => o.gather(a, a.graph.constant('int64', [3], BigInt64Array.of(2n, 0n, 2n))),
  },
  {
    op: 'ScatterND',
    shapes: [
      [4, 2],
      [3, 2],
    ],
    f: (a, b) => o.scatterAddRows(a, a.graph.constant('int64', [3], BigInt64Array.of(1n, 3n, 1n)), b),
  },
  { op: 'ReduceSum', shapes: [[2, 3, 2]], f: (a) => o.reduceSum(a, [0, 2]) },
  { op: 'ReduceMean', shapes: [[2, 3]], f: (a) => o.reduceMean(a, [-1]) },
  { op: 'ReduceMax', shapes: [[4, 2]], f: (a) => o.reduceMax(a, [-1]) },
  { op: 'Softmax', shapes: [[2, 4]], f: (a) => o.softmax(a) },
  {
    op: 'SimplifiedLayerNormalization',
    shapes: [[2, 4], [4]],
    f: (a, w) => o.rmsNorm(a, w, 0.5).y,
    type: 'float32',
  },
  {
    op: 'RotaryEmbedding',
    shapes: [[2, 2, 3, 4]],
    f: (a) => o.rotaryEmbedding(a, positions(a), angles(a, Math.cos), angles(a, Math.sin)),
    type: 'float32',
  },
]

const UNIT: [number, number] = [-1, 1]

suite('every rule against central finite differences', () => {
  for (const { op, shapes, f, range = UNIT, smoothOnly, type = 'float64' } of cases)
    test(`${op} ${shapes.map((shape) => `[${shape.join(', ')}]`).join(' ')}`, async () => {
      const points = smoothOnly
        ? (['random', 'random', 'random'] as const)
        : (['random', 'random', 'zero', 'ties'] as const)
      for (const [seed, point] of points.entries())
        await checkGradients({ shapes, f, range, type, point, seed })
    })

  test('no rule is left out', () => {
    assert.deepEqual(new Set(cases.map(({ op }) => op)), new Set(Object.keys(RULES)))
  })
})
