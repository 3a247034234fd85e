import type { Dim } from './dims.ts'
import { GraphError, type Attribute, type Node, type Value } from './graph.ts'
import * as o from './ops.ts'

/**
 * For a node and the gradients of its outputs: for each input, how its gradient is computed (called only where it is
 * wanted), or undefined where there is none.
 */
export type Rule = (
  node: Node,
  gradients: readonly (Value | undefined)[],
) => readonly ((() => Value) | undefined)[]

/**
 * For a node whose inputs are not what its gradient flows to: the value that its output is a function of, and the gradient
 * by that. What lies between the two is passed over.
 */
export interface Detour {
  to: Value
  gradient: (g: Value) => Value
}

/** For a node whose output counts as a constant. */
export const NO_GRADIENT: Rule = () => []

/** What a line of the table sees: inputs x, first output y and its gradient g, the gradients of all outputs. */
interface Scene {
  x: readonly [Value, Value, Value, Value]
  y: Value
  g: Value
  all: readonly Value[]
  node: Node
}

/** A line of the table as a rule. A line names only the inputs that its operator has. */
export const one =
  (line: (scene: Scene) => readonly ((() => Value) | undefined)[]): Rule =>
  (node, gradients) => {
    const all = node.outputs.map((output, i) => gradients[i] ?? o.zerosLike(output))
    const [y] = node.outputs as [Value]
    const [g] = all as [Value]
    return line({ x: node.inputs as unknown as Scene['x'], y, g, all, node })
  }

export function number(node: Node, name: string): number {
  return (node.attributes[name] as Attribute & { kind: 'int' | 'float' }).value
}

/** The elements of a constant input: axes, starts, sizes. */
function known(x: Value): number[] {
  return Array.from(x.data ?? [], Number)
}

interface ProductFlags {
  transA: boolean
  transB: boolean
  alpha: number
}

/** The flags of MatMul (none), FusedMatMul and Gemm. */
export function flags({ attributes: { transA, transB, alpha } }: Node): ProductFlags {
  const set = (attribute: Attribute | undefined) => attribute?.kind === 'int' && attribute.value === 1
  return { transA: set(transA), transB: set(transB), alpha: alpha?.kind === 'float' ? alpha.value : 1 }
}

/** The gradients of alpha·op(A)·op(B). Transposing is left to the products, so no gradient needs a Transpose of its own. */
export function products(
  product: (a: Value, b: Value, flags: ProductFlags) => Value,
  g: Value,
  a: Value,
  b: Value,
  { transA, transB, alpha }: ProductFlags,
): [() => Value, () => Value] {
  return [
    () =>
      transA
        ? product(b, g, { transA: transB, transB: true, alpha })
        : product(g, b, { transA: false, transB: !transB, alpha }),
    () =>
      transB
        ? product(g, a, { transA: true, transB: transA, alpha })
        : product(a, g, { transA: !transA, transB: false, alpha }),
  ]
}

/** With y = x·s(a·x) and s the sigmoid: dy/dx = s + a·y·(1 - s) = s·(1 - a·y) + a·y, so that y need not be made twice. */
export function swish(x: Value, y: Value, alpha: number): Value {
  const times = (value: Value): Value => (alpha === 1 ? value : o.mul(value, o.scalar(value, alpha)))
  const [s, ay] = [o.sigmoid(times(x)), times(y)]
  return o.add(o.mul(s, o.sub(o.scalar(x, 1), ay)), ay)
}

/** The order of axes that undoes a Transpose. */
export function inverseOrder(node: Node): number[] {
  const { value } = node.attributes.perm as Attribute & { kind: 'ints' }
  return value.map((_, axis) => value.indexOf(axis))
}

/** Axis and zeros before and after that undo a Slice of x. */
export function slicePads(node: Node, x: Value): [number, number, number] {
  const [start, end, axis] = node.inputs.slice(1).map((input) => known(input as Value)[0]) as [
    number,
    number,
    number,
  ]
  return [axis, start, (x.shape[axis] as number) - end]
}

/** The part of a padded g that x had. */
export function unpad(g: Value, x: Value, pads: Value): Value {
  const before = known(pads).slice(0, x.shape.length)
  return before.reduce(
    (part, start, axis) =>
      part.shape[axis] === x.shape[axis]
        ? part
        : o.slice(part, axis, start, start + (x.shape[axis] as number)),
    g,
  )
}

/** g cut as a Concat's inputs were. */
export function splitLike(g: Value, node: Node): (() => Value)[] {
  const axis = number(node, 'axis')
  const sizes = node.inputs.map((input) => (input as Value).shape[axis] as Dim)
  let parts: Value[] | undefined
  return sizes.map((_, i) => () => (parts ??= o.split(g, axis, sizes))[i] as Value)
}

/** 1 / the number of elements that a ReduceMean takes the mean of. */
export function meanShare(x: Value, axes: Value): Value {
  const count = known(axes).reduce((product, axis) => product * (x.shape[axis] as number), 1)
  if (!Number.isFinite(count)) throw new GraphError('ReduceMean', 'has no gradient over unknown sizes', [x])
  return o.scalar(x, 1 / count)
}

/** 1 where x is the maximum y, shared among equals: the mean of the one-sided derivatives. */
export function equalShares(x: Value, y: Value, axes: Value): Value {
  const chosen = o.cast(o.equal(x, y), x.type)
  return o.div(chosen, o.reduceSum(chosen, known(axes)))
}

/** With n = x·inverse and h = g·weight: dx = inverse·(h - n·mean(h·n)), dweight = g·n. */
export const rmsNormGradients: Rule = (node, [g, gInverse]) => {
  const [x, weight] = node.inputs as [Value, Value]
  const [, inverse] = node.outputs as [Value, Value]
  if (!g || gInverse) throw new GraphError(node.op, 'has a gradient for its first output only', node.inputs)
  const n = o.mul(x, inverse)
  const input = (): Value => {
    const h = o.mul(g, weight)
    return o.mul(inverse, o.sub(h, o.mul(n, o.reduceMean(o.mul(h, n), [-1]))))
  }
  return [input, () => o.mul(g, n)]
}
