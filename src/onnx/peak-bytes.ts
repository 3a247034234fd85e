import type { GraphFunction } from './extract.ts'
import { fuse } from './fuse.ts'
import type { DataType, Node, Value } from './graph.ts'

const BYTES: Record<DataType, number> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int8: 1,
  uint8: 1,
  bool: 1,
}

/** Another shape of the same memory. */
const VIEWS = new Set(['Reshape', 'Squeeze', 'Unsqueeze'])

/** Element by element: ONNX Runtime writes the result over an input that nothing else wants. */
const IN_PLACE = new Set(['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Exp', 'Log', 'Sqrt', 'Sigmoid', 'Abs'])

/**
 * What one run of a function holds at most, in bytes, inputs and constants aside: each tensor from its making to its last use,
 * nodes in their order, outputs to the end. All sizes must be numbers.
 */
export function peakBytes(source: GraphFunction): number {
  const { graph, inputs, outputs } = fuse(source)
  const memory = new Map<Value, Value>()
  const memoryOf = (value: Value): Value => memory.get(value) ?? value
  const foreign = new Set<Value>(inputs.values())
  const uses = new Map<Value, number>()
  const use = (value: Value | undefined) => {
    if (value) uses.set(memoryOf(value), (uses.get(memoryOf(value)) ?? 0) + 1)
  }
  const dying = (value: Value): boolean =>
    !foreign.has(memoryOf(value)) && value.data === undefined && uses.get(memoryOf(value)) === 1

  for (const node of graph.nodes)
    if (VIEWS.has(node.op)) memory.set(node.outputs[0] as Value, memoryOf(node.inputs[0] as Value))
  for (const node of graph.nodes) node.inputs.forEach(use)
  for (const value of outputs.values()) use(value)

  let held = 0
  let most = 0
  for (const node of graph.nodes) {
    const over = IN_PLACE.has(node.op) ? reusable(node, dying) : undefined
    if (!VIEWS.has(node.op))
      for (const output of node.outputs) if (output !== node.outputs[0] || !over) held += bytesOf(output)
    most = Math.max(most, held)
    for (const input of node.inputs) {
      if (!input) continue
      const root = memoryOf(input)
      const left = (uses.get(root) ?? 0) - 1
      uses.set(root, left)
      if (left === 0 && !foreign.has(root) && root.data === undefined && root !== over) held -= bytesOf(root)
    }
    for (const output of node.outputs) if (!VIEWS.has(node.op) && !uses.has(output)) held -= bytesOf(output)
  }
  return most
}

/** The memory of an input that ends with this node and has its output's size. */
function reusable({ inputs, outputs }: Node, dying: (value: Value) => boolean): Value | undefined {
  const size = bytesOf(outputs[0] as Value)
  return inputs.find((input) => input && dying(input) && bytesOf(input) === size)
}

export function bytesOf({ type, shape }: Value): number {
  return shape.reduce<number>((bytes, dim) => {
    if (typeof dim !== 'number') throw new Error(`a tensor of ${shape.join(' × ')} has no known size`)
    return bytes * dim
  }, BYTES[type])
}
