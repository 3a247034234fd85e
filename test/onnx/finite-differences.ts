import assert from 'node:assert/strict'
import { differentiate } from '../../src/onnx/gradient.ts'
import { extract } from '../../src/onnx/extract.ts'
import { Graph, type DataType, type Value } from '../../src/onnx/graph.ts'
import * as o from '../../src/onnx/ops.ts'
import { Session, tensor } from '../../src/onnx/session.ts'
import { RandomStream } from '../../src/train/random.ts'

export interface Check {
  shapes: number[][]
  f: (...x: [Value, Value, Value]) => Value
  range: [number, number]
  type: DataType
  point: 'random' | 'zero' | 'ties'
  seed: number
}

/** Compares the graph's own gradient of sum(f(x) · r), r random, with differences of two runs, for each element of each input. */
export async function checkGradients({ shapes, f, range, type, point, seed }: Check): Promise<void> {
  const random = new RandomStream(seed, 'data-order')
  const draw = () => range[0] + (range[1] - range[0]) * random.uniform()
  const make = (count: number, value: () => number): Float64Array | Float32Array => {
    const values = Array.from({ length: count }, value)
    return type === 'float64' ? Float64Array.from(values) : Float32Array.from(values)
  }
  const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1)

  const graph = new Graph()
  const x = shapes.map((shape, i) => graph.input(`x${i}`, type, shape))
  const y = f(...(x as [Value, Value, Value]))
  const r = make(size(y.shape as number[]), () => random.uniform() - 0.5)
  const weight = graph.constant(type, y.shape as number[], r)
  const used = x.filter((value) => graph.nodes.some((node) => node.inputs.includes(value)))
  const gradients = differentiate(new Map([[y, weight]]), used)
  const inputs = new Map(used.map((value) => [value.name, value]))
  const outputs = gradients.map((gradient, i): [string, Value] => [`d${i}`, gradient as Value])
  const forward = await Session.create(extract(inputs, new Map([['y', o.mul(y, weight)]])), { threads: 1 })
  const backward = await Session.create(extract(inputs, new Map(outputs)), { threads: 1 })

  const common = draw()
  const values = used.map((value) =>
    make(size(value.shape as number[]), () => (point === 'zero' ? 0 : point === 'ties' ? common : draw())),
  )
  const feeds = new Map(
    used.map((v, i) => [v.name, tensor(type, values[i] as Float64Array | Float32Array, v.shape as number[])]),
  )
  const f64 = (data: unknown) => Array.from(data as Float64Array)
  const total = async () => f64((await forward.run(feeds)).get('y')?.data).reduce((a, b) => a + b, 0)

  // The step balances rounding (eps/step) against curvature (step²).
  const [step, tolerance] = type === 'float64' ? [1e-5, 1e-8] : [2e-2, 2e-3]
  const found = await backward.run(feeds)
  for (const [i, data] of values.entries()) {
    const analytic = f64(found.get(`d${i}`)?.data)
    assert.equal(analytic.length, data.length)
    for (let j = 0; j < data.length; j++) {
      const at = data[j] as number
      data[j] = at + step
      const above = await total()
      data[j] = at - step
      const below = await total()
      data[j] = at
      const numeric = (above - below) / (2 * step)
      const error = Math.abs(numeric - (analytic[j] as number))
      assert.ok(error < tolerance, `x${i}[${j}] at ${point}: ${analytic[j]} but ${numeric} by differences`)
    }
  }
  await forward.dispose()
  await backward.dispose()
}
