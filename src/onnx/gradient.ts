import { sameShape } from './dims.ts'
import { RULES } from './gradient-rules.ts'
import { NO_GRADIENT, type Detour, type Rule } from './gradient-terms.ts'
import { GraphError, type Node, type Value } from './graph.ts'
import { add, reduceSum, reshape } from './ops.ts'

/**
 * Reverse-mode differentiation: given d(something)/d(value) for some values, the same for `wrt`, as new nodes of the
 * same graph. Only what leads from `wrt` to the seeds is differentiated. A value that nothing depends on gets undefined.
 * `rules` has nodes whose gradient is computed otherwise than the table says.
 */
export function differentiate(
  seeds: ReadonlyMap<Value, Value>,
  wrt: readonly Value[],
  rules: ReadonlyMap<Node, Rule | Detour> = new Map(),
): (Value | undefined)[] {
  const [anySeed] = seeds.keys()
  if (!anySeed) return wrt.map(() => undefined)
  for (const [value, seed] of seeds)
    if (!sameShape(value.shape, seed.shape) || value.type !== seed.type)
      throw new GraphError('Gradient', 'a seed must be like its value', [value, seed])

  const nodes = [...anySeed.graph.nodes]
  const moving = new Set(wrt)
  for (const node of nodes)
    if (rules.get(node) !== NO_GRADIENT && node.inputs.some((input) => input && moving.has(input)))
      for (const output of node.outputs) if (output.type.includes('float')) moving.add(output)

  const gradients = new Map(seeds)
  const contribute = (to: Value, contribution: Value): void => {
    const gradient = sumTo(contribution, to)
    const before = gradients.get(to)
    gradients.set(to, before ? add(before, gradient) : gradient)
  }
  for (const node of nodes.reverse()) {
    const outputs = node.outputs.map((output) => gradients.get(output))
    if (
      rules.get(node) === NO_GRADIENT ||
      !outputs.some((gradient) => gradient) ||
      !node.inputs.some((input) => input && moving.has(input))
    )
      continue
    const rule = rules.get(node) ?? ruleOf(node)
    if (typeof rule === 'object') {
      if (moving.has(rule.to)) contribute(rule.to, rule.gradient(outputs[0] as Value))
      continue
    }
    const contributions = rule(node, outputs)
    for (const [i, input] of node.inputs.entries()) {
      if (!input || !moving.has(input)) continue
      const contribution = contributions[i]
      if (!contribution) throw new GraphError(node.op, `has no gradient for input ${i}`, node.inputs)
      contribute(input, contribution())
    }
  }
  return wrt.map((value) => gradients.get(value))
}

function ruleOf(node: Node): Rule {
  const rule = RULES[node.op]
  if (!rule) throw new GraphError(node.op, 'has no gradient', node.inputs)
  return rule
}

/** Undoes broadcasting: what one element was used for many times is summed up. */
function sumTo(gradient: Value, like: Value): Value {
  if (sameShape(gradient.shape, like.shape)) return gradient
  const extra = gradient.shape.length - like.shape.length
  const axes = gradient.shape
    .map((_, axis) => axis)
    .filter((axis) => axis < extra || like.shape[axis - extra] !== gradient.shape[axis])
  const summed = axes.length > 0 ? reduceSum(gradient, axes) : gradient
  return sameShape(summed.shape, like.shape) ? summed : reshape(summed, like.shape)
}
