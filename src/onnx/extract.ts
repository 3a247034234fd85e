import { sameShape } from './dims.ts'
import { GraphError, Graph, type Node, type Value } from './graph.ts'
import { expand, reshape } from './ops.ts'

/** A graph with named ends: what is encoded, run, or put into a larger graph. */
export interface GraphFunction {
  graph: Graph
  inputs: ReadonlyMap<string, Value>
  outputs: ReadonlyMap<string, Value>
}

/**
 * The part of a graph that computes `outputs` from `inputs`, as a graph of its own. Any values may be inputs: what lies
 * before them is cut off, and what no output needs is left out. So a backward pass with kept tensors as inputs recomputes
 * exactly the rest. Inputs that nothing needs are dropped; a needed one that is missing is an error.
 */
export function extract(
  inputs: ReadonlyMap<string, Value>,
  outputs: ReadonlyMap<string, Value>,
): GraphFunction {
  const graph = new Graph()
  const [anyOutput] = outputs.values()
  if (!anyOutput) throw new GraphError('Extract', 'needs an output', [])
  const given = new Set(inputs.values())
  const { values } = requirements(anyOutput.graph, outputs.values(), given)
  const kept = Array.from(inputs).filter(([, value]) => values.has(value))
  const feeds = new Map(kept.map(([name, value]) => [value, graph.input(name, value.type, value.shape)]))
  const copied = copy(graph, anyOutput.graph, outputs, feeds)
  return {
    graph,
    inputs: new Map(kept.map(([name, value]) => [name, feeds.get(value) as Value])),
    outputs: copied,
  }
}

/** Puts a function into a graph, its inputs taken from `feeds` by name; returns its outputs there. */
export function inline(
  target: Graph,
  { graph, inputs, outputs }: GraphFunction,
  feeds: ReadonlyMap<string, Value>,
): Map<string, Value> {
  const values = new Map<Value, Value>()
  for (const [name, value] of inputs) {
    const feed = feeds.get(name)
    if (!feed) throw new GraphError('Inline', `the function's input ${name} is not given`, [value])
    values.set(value, feed)
  }
  return copy(target, graph, outputs, values)
}

/** All that is needed for `outputs`, not looking behind `given`. */
function requirements(graph: Graph, outputs: Iterable<Value>, given: ReadonlySet<Value>) {
  const values = new Set(outputs)
  const nodes = new Set<Node>()
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => values.has(output) && !given.has(output))) continue
    nodes.add(node)
    for (const input of dataInputs(node)) values.add(input)
  }
  return { values, nodes }
}

/** The inputs that a copy needs: a target shape is made anew in the target graph, from that graph's own inputs. */
function dataInputs(node: Node): Value[] {
  const inputs = takesShape(node) ? node.inputs.slice(0, 1) : node.inputs
  return inputs.filter((input) => input !== undefined)
}

function takesShape(node: Node): boolean {
  return (node.op === 'Reshape' && !isOrder(node)) || node.op === 'Expand'
}

/** What after() makes: a shape that is computed although it is that of x. */
function isOrder({ inputs: [x, shape], outputs: [y] }: Node): boolean {
  return shape?.data === undefined && sameShape((x as Value).shape, (y as Value).shape)
}

function copy(
  target: Graph,
  source: Graph,
  outputs: ReadonlyMap<string, Value>,
  feeds: ReadonlyMap<Value, Value>,
): Map<string, Value> {
  const copies = new Map(feeds)
  const copyOf = (value: Value): Value => {
    const known = copies.get(value)
    if (known) return known
    if (!value.data) throw new GraphError('Extract', `${value.name} is needed but not given`, [value])
    const constant = target.constant(value.type, value.shape as number[], value.data)
    copies.set(value, constant)
    return constant
  }
  const { nodes } = requirements(source, outputs.values(), new Set(feeds.keys()))
  for (const node of source.nodes) {
    if (!nodes.has(node)) continue
    const [first] = node.outputs as [Value]
    if (takesShape(node)) {
      const x = copyOf(node.inputs[0] as Value)
      copies.set(first, node.op === 'Reshape' ? reshape(x, first.shape) : expand(x, first.shape))
      continue
    }
    const inputs = node.inputs.map((input) => input && copyOf(input))
    const made = target.node(node.op, inputs, node.attributes, node.outputs)
    for (const [i, output] of node.outputs.entries())
      if (!copies.has(output)) copies.set(output, made[i] as Value)
  }
  return new Map(Array.from(outputs, ([name, value]) => [name, copyOf(value)]))
}
