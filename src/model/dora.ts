import { type Detour, NO_GRADIENT, type Rule } from '../onnx/gradient-terms.ts'
import type { Node, Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'

interface Decomposed {
  /** x · Wᵀ without a bias, a product with the frozen W as float32. */
  base: Value
  /** x · (scale · B · A)ᵀ */
  change: Value
  a: Value
  b: Value
  scale: number
  /** [1, out] */
  magnitude: Value
  bias: Value | undefined
  /** Kept for the backward pass. */
  keep: (name: string, value: Value) => Value
  rules: Map<Node, Rule | Detour>
}

/**
 * DoRA (arXiv:2402.09353) as PEFT computes it: each row of W + scale · B · A is scaled to the length that `magnitude` says. The row's
 * own length is taken as a constant by the gradient (section 4.3 of the paper).
 */
export function doraOutput(decomposed: Decomposed): Value {
  const { base, change, magnitude, bias, keep, rules } = decomposed
  const norm = keep('norm', rowNorms(decomposed)) // float32, as the magnitude
  rules.set(norm.producer as Node, NO_GRADIENT)
  const whole = keep('out', o.add(base, change))
  const scaled = o.mul(whole, o.inType(o.div(magnitude, norm), whole.type))
  return bias ? o.add(scaled, bias) : scaled
}

/**
 * The lengths of the rows of W + s · B · A, [1, out]: the root of |w|² + 2s b·(A w) + s² b·(A Aᵀ b), so that no second matrix of W's size
 * is made.
 */
function rowNorms({ base, a: halfA, b: halfB, scale }: Decomposed): Value {
  const given = base.producer?.op === 'Gemm' ? base.producer.inputs[1] : undefined
  if (!given) throw new Error('DoRA needs the frozen weight as numbers')
  const [weight, a, b] = [given, halfA, halfB].map((value) => o.inType(value, 'float32')) as [
    Value,
    Value,
    Value,
  ]
  const squares = o.reduceSumSquare(weight, [1])
  const across = o.reduceSum(o.mul(b, o.gemm(weight, a, { transB: true })), [1])
  const within = o.reduceSum(o.mul(b, o.gemm(b, o.gemm(a, a, { transB: true }))), [1])
  const change = o.add(
    o.mul(across, o.scalar(across, 2 * scale)),
    o.mul(within, o.scalar(within, scale * scale)),
  )
  return o.sqrt(o.reshape(o.add(squares, change), [1, b.shape[0] as number]))
}
