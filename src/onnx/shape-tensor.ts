import { factorsOf, type Dim, type Shape } from './dims.ts'
import { GraphError, type Graph, type Value } from './graph.ts'

/**
 * The int64 vector that names `shape` to Reshape and Expand. Known sizes are a constant, as are those that Reshape can
 * find itself (0: as in x; -1: what is left). Products of unknowns are computed from the sizes of the graph's inputs.
 * `exact`: no 0 and -1, for operators that know neither.
 */
export function shapeTensor(x: Value, shape: Shape, options: { exact?: boolean } = {}): Value {
  const { graph } = x
  const numbers = options.exact ? undefined : reshapeNumbers(x.shape, shape)
  if (shape.every((dim) => typeof dim === 'number') || numbers) {
    const values = numbers ?? (shape as number[])
    return graph.constant('int64', [values.length], BigInt64Array.from(values, BigInt))
  }
  const known = computed.get(graph) ?? new Map<string, Value>()
  computed.set(graph, known)
  const key = shape.join()
  const value = known.get(key) ?? compute(graph, shape)
  known.set(key, value)
  return value
}

/** Each graph's computed shapes, so that all layers share one computation. */
const computed = new WeakMap<Graph, Map<string, Value>>()

function reshapeNumbers(from: Shape, to: Shape): number[] | undefined {
  let inferred = 0
  const numbers = to.map((dim, i) => {
    if (typeof dim === 'number') return dim
    if (dim === from[i]) return 0
    inferred++
    return -1
  })
  return inferred <= 1 && !to.includes(0) ? numbers : undefined
}

function compute(graph: Graph, shape: Shape): Value {
  return concat(
    graph,
    shape.map((dim) => dimension(graph, dim)),
  )
}

/** One dimension as int64 [1]. */
function dimension(graph: Graph, dim: Dim): Value {
  const { factor, names } = factorsOf(dim)
  let value: Value | undefined = factor === 1 && names.length > 0 ? undefined : int(graph, factor)
  for (const name of names) {
    const size = sizeOf(graph, name)
    value = value ? node(graph, 'Mul', [value, size]) : size
  }
  return value as Value
}

/** The size behind a name, from an input that has it or a multiple of it as a dimension. */
function sizeOf(graph: Graph, name: string): Value {
  for (const input of graph.inputs)
    for (const [axis, dim] of input.shape.entries()) {
      const { factor, names } = factorsOf(dim)
      if (names.length !== 1 || names[0] !== name) continue
      const all = graph.node('Shape', [input], {}, [
        { type: 'int64', shape: [input.shape.length] },
      ])[0] as Value
      const size = node(graph, 'Gather', [all, int(graph, axis)])
      return factor === 1 ? size : node(graph, 'Div', [size, int(graph, factor)])
    }
  throw new GraphError('Shape', `no input of the graph has a dimension ${name}`, graph.inputs)
}

const int = (graph: Graph, value: number): Value =>
  graph.constant('int64', [1], BigInt64Array.of(BigInt(value)))

function node(graph: Graph, op: string, inputs: Value[]): Value {
  return graph.node(op, inputs, {}, [{ type: 'int64', shape: [1] }])[0] as Value
}

function concat(graph: Graph, values: Value[]): Value {
  const outputs = [{ type: 'int64' as const, shape: [values.length] }]
  return graph.node('Concat', values, { axis: { kind: 'int', value: 0 } }, outputs)[0] as Value
}
