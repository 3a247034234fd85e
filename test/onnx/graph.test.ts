import assert from 'node:assert/strict'
import { test } from 'node:test'
import { product, sum } from '../../src/onnx/dims.ts'
import { extract, inline } from '../../src/onnx/extract.ts'
import { differentiate } from '../../src/onnx/gradient.ts'
import { Graph, type Value } from '../../src/onnx/graph.ts'
import { fuse } from '../../src/onnx/fuse.ts'
import * as o from '../../src/onnx/ops.ts'
import { Session, tensor } from '../../src/onnx/session.ts'

const f32 = (values: number[], shape: number[]) => tensor('float32', Float32Array.from(values), shape)
const named = <T>(values: Record<string, T>) => new Map(Object.entries(values))

test('a mistake names the operator and the shapes', () => {
  const graph = new Graph()
  const a = graph.input('a', 'float32', [2, 3])
  const b = graph.input('b', 'float32', ['B', 4])
  const i = graph.input('i', 'int64', [2, 3])
  const wants: [RegExp, () => unknown][] = [
    [
      /^Add: shapes do not broadcast \(inputs: a: float32 \[2, 3\], b: float32 \[B, 4\]\)$/,
      () => o.add(a, b),
    ],
    [/^Add: types differ \(inputs: a: float32 \[2, 3\], i: int64 \[2, 3\]\)$/, () => o.add(a, i)],
    [/^Gemm: inner dimensions 3 and 2 differ/, () => o.gemm(a, a)],
    [/^MatMul: inner dimensions 3 and B differ/, () => o.matmul(a, b)],
    [/^Reshape: \[3, 3\] has another size \(inputs: a: float32 \[2, 3\]\)$/, () => o.reshape(a, [3, 3])],
    [/^Transpose: \[0, 0\] is no order of the axes/, () => o.transpose(a, [0, 0])],
    [/^Slice: no elements 1\.\.4 along axis 1/, () => o.slice(a, 1, 1, 4)],
    [/^Split: sizes \[1, 1\] do not cover axis 1/, () => o.split(a, 1, [1, 1])],
    [/^Concat: shapes differ beside axis 0/, () => o.concat([a, b], 0)],
    [/^Gather: indices must be int64/, () => o.gather(a, a)],
    [/^ArgMax: has no gradient/, () => differentiate(new Map([[o.argMax(a), o.argMax(a)]]), [a])],
    [/^Mul: x is of another graph/, () => o.mul(a, new Graph().input('x', 'float32', [2, 3]))],
    [/^Extract: a is needed but not given/, () => extract(named({ b }), named({ y: o.neg(a) }))],
  ]
  for (const [message, mistake] of wants) assert.throws(mistake, { name: 'GraphError', message })
})

test('dimensions multiply and add up to one canonical form', () => {
  assert.equal(product(['T', 3, 'B', 2]), '6*B*T')
  assert.equal(product(['6*B*T']), product(['B', '2*T', 3]))
  assert.equal(product([2, 3]), 6)
  assert.equal(sum([2, 3]), 5)
  assert.equal(sum(['P', 'T']), '(P+T)')
})

test('sizes that are unknown when the graph is built are found when it runs', async () => {
  const graph = new Graph()
  const x = graph.input('x', 'float32', ['B', 'T', 4])
  const flat = o.reshape(x, [product(['B', 'T']), 4])
  const heads = o.transpose(o.reshape(flat, ['B', 'T', 2, 2]), [0, 2, 1, 3])
  const y = o.expand(o.reduceSum(o.reshape(heads, ['B', product(['T', 2]), 2]), [1]), ['B', 3, 2])
  const session = await Session.create(extract(named({ x }), named({ y })), { threads: 1 })
  for (const [b, t] of [
    [1, 2],
    [2, 3],
  ] as const) {
    const values = Array.from({ length: b * t * 4 }, (_, i) => i)
    const found = (await session.run(named({ x: f32(values, [b, t, 4]) }))).get('y')
    assert.deepEqual(found?.dims, [b, 3, 2])
    const want = Array.from({ length: b }, (_, row) =>
      [0, 1].map((k) =>
        values.filter((v) => Math.floor(v / (t * 4)) === row && v % 2 === k).reduce((a, c) => a + c, 0),
      ),
    )
    assert.deepEqual(
      Array.from(found.data as Float32Array),
      want.flatMap((pair) => [...pair, ...pair, ...pair]),
    )
  }
  await session.dispose()
})

test('a cut at any kept values gives the same gradients, recomputing only the rest', async () => {
  const graph = new Graph()
  const x = graph.input('x', 'float32', [2, 3])
  const w = graph.input('w', 'float32', [3, 3])
  const dy = graph.input('dy', 'float32', [2, 3])
  const h = o.gemm(x, w)
  const s = o.softmax(h)
  const y = o.add(o.gemm(s, w, { transB: true }), x)
  const [dx, dw] = differentiate(new Map([[y, dy]]), [x, w]) as [Value, Value]
  const whole = extract(named({ x, w, dy }), named({ dx, dw }))
  const feeds = {
    x: f32([1, 2, 3, -1, 0, 1], [2, 3]),
    w: f32([1, 0, 2, -1, 1, 0, 0.5, 0, 1], [3, 3]),
    dy: f32([1, -1, 2, 0.5, 1, 0], [2, 3]),
  }
  const run = async (f: typeof whole, given: Record<string, ReturnType<typeof f32>>) => {
    const session = await Session.create(f, { threads: 1 })
    const found = await session.run(named(given))
    await session.dispose()
    return Array.from(found, ([name, { data }]) => [name, Array.from(data as Float32Array)])
  }
  const want = await run(whole, feeds)
  for (const kept of [{ h }, { s }, { h, s }] as Record<string, Value>[]) {
    const forward = extract(named({ x, w }), named({ y, ...kept }))
    const backward = extract(named({ x, w, dy, ...kept }), named({ dx, dw }))
    assert.ok(backward.graph.nodes.length < whole.graph.nodes.length)
    const session = await Session.create(forward, { threads: 1 })
    const outputs = Object.fromEntries(await session.run(named(feeds)))
    await session.dispose()
    assert.deepEqual(await run(backward, { ...feeds, ...(outputs as typeof feeds) }), want)
  }
  // The same function twice in one graph.
  const outer = new Graph()
  const ends = { x, w, dy }
  const given = new Map(Object.entries(ends).map(([name, v]) => [name, outer.input(name, v.type, v.shape)]))
  const once = inline(outer, whole, given)
  const twice = inline(outer, whole, new Map([...given, ['dy', once.get('dx') as Value]]))
  const second = await run(extract(given, new Map([['dx', twice.get('dx') as Value]])), feeds)
  assert.deepEqual(
    second,
    (await run(whole, { ...feeds, dy: f32(want[0]?.[1] as number[], [2, 3]) })).slice(0, 1),
  )
})

test('adding to a product used once is part of the product', async () => {
  const graph = new Graph()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => graph.input(name, 'float32', [2, 2])) as [
    Value,
    Value,
    Value,
  ]
  const ab = o.gemm(a, b)
  const y = o.add(o.add(ab, o.gemm(b, c, { transA: true, alpha: 2 })), c)
  const source = extract(named({ a, b, c }), named({ y, ab }))
  const fused = fuse(source)
  // ab is an output, so it stays; the second product takes it in.
  assert.deepEqual(
    fused.graph.nodes.map((node) => node.op),
    ['Gemm', 'Gemm', 'Add'],
  )
  const session = await Session.create(source, { threads: 1 })
  const feeds = { a: f32([1, 2, 3, 4], [2, 2]), b: f32([0, 1, 1, 1], [2, 2]), c: f32([1, 0, 0, 3], [2, 2]) }
  const found = await session.run(named(feeds))
  assert.deepEqual(Array.from(found.get('y')?.data as Float32Array), [3, 9, 6, 16])
  assert.deepEqual(Array.from(found.get('ab')?.data as Float32Array), [2, 3, 4, 7])
  await session.dispose()
})

test('large constants lie beside the model and are found', async () => {
  const graph = new Graph()
  const x = graph.input('x', 'float32', [1, 256])
  const table = Float32Array.from({ length: 256 * 256 }, (_, i) => (i % 257 === 0 ? 2 : 0))
  const y = o.matmul(x, graph.constant('float32', [256, 256], table))
  const session = await Session.create(extract(named({ x }), named({ y })), { threads: 1 })
  const values = Array.from({ length: 256 }, (_, i) => i)
  const found = (await session.run(named({ x: f32(values, [1, 256]) }))).get('y')
  assert.deepEqual(
    Array.from(found?.data as Float32Array),
    values.map((v) => 2 * v),
  )
  await session.dispose()
})
