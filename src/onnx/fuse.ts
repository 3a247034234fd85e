import { sameShape } from './dims.ts'
import type { GraphFunction } from './extract.ts'
import { Graph, type Node, type Value } from './graph.ts'

/**
 * Add(product of matrices, c) becomes a Gemm with C = c: adding LoRA's part and summing gradients then costs no pass over
 * memory of its own. Only where the product is used once and the sum has its shape.
 */
export function fuse({ graph, inputs, outputs }: GraphFunction): GraphFunction {
  const uses = new Map<Value, number>()
  const use = (value: Value | undefined) => value && uses.set(value, (uses.get(value) ?? 0) + 1)
  for (const node of graph.nodes) node.inputs.forEach(use)
  for (const value of outputs.values()) use(value)

  const replaced = new Map<Node, Node>()
  const absorbed = new Set<Node>()
  for (const node of graph.nodes) {
    if (node.op !== 'Add') continue
    const [sum] = node.outputs as [Value]
    // The later product takes the sum in: the other is then computed before it.
    const candidates = (node.inputs as Value[]).filter(
      (value) =>
        value.producer &&
        isPlainProduct(value.producer) &&
        !absorbed.has(value.producer) &&
        uses.get(value) === 1 &&
        sameShape(value.shape, sum.shape),
    )
    const value = candidates.at(-1)
    if (!value?.producer) continue
    const other = (node.inputs as Value[]).find((input) => input !== value) as Value
    absorbed.add(value.producer)
    replaced.set(node, {
      op: 'Gemm',
      inputs: [...value.producer.inputs.slice(0, 2), other],
      attributes: value.producer.attributes,
      outputs: node.outputs,
    })
  }
  const fused = new Graph()
  fused.inputs.push(...graph.inputs)
  for (const node of graph.nodes) if (!absorbed.has(node)) fused.nodes.push(replaced.get(node) ?? node)
  return { graph: fused, inputs, outputs }
}

/** A product of two matrices without a C. MatMul of matrices is a Gemm without attributes. */
function isPlainProduct(node: Node): boolean {
  const matrices = (node.inputs as Value[]).every((input) => input.shape.length === 2)
  return (
    matrices &&
    node.inputs.length === 2 &&
    (node.op === 'Gemm' || node.op === 'MatMul' || node.op === 'FusedMatMul')
  )
}
