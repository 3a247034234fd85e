import * as o from './ops.ts'
import {
  equalShares,
  flags,
  inverseOrder,
  meanShare,
  number,
  one,
  products,
  rmsNormGradients,
  slicePads,
  splitLike,
  swish,
  unpad,
  type Rule,
} from './gradient-terms.ts'

/**
 * Reverse-mode differentiation as a table: for each operator, what the gradient g of its output y contributes to each of
 * its inputs x. What an operator broadcast is summed up by differentiate(). An operator that is not here has no gradient.
 */
export const RULES: Readonly<Record<string, Rule | undefined>> = {
  Add: one(({ g }) => [() => g, () => g]),
  Sub: one(({ g }) => [() => g, () => o.neg(g)]),
  Mul: one(({ g, x: [a, b] }) => [() => o.mul(g, b), () => o.mul(g, a)]),
  Div: one(({ g, x: [, b], y }) => [() => o.div(g, b), () => o.neg(o.div(o.mul(g, y), b))]),
  Neg: one(({ g }) => [() => o.neg(g)]),
  Exp: one(({ g, y }) => [() => o.mul(g, y)]),
  Log: one(({ g, x: [a] }) => [() => o.div(g, a)]),
  Sqrt: one(({ g, y }) => [() => o.div(o.mul(g, o.scalar(g, 0.5)), y)]),
  Sigmoid: one(({ g, y }) => [() => o.mul(g, o.mul(y, o.sub(o.scalar(y, 1), y)))]),
  QuickGelu: one(({ g, x: [a], y, node }) => [() => o.mul(g, swish(a, y, number(node, 'alpha')))]),
  Cast: one(({ g, x: [a] }) => [() => o.cast(g, a.type)]),

  MatMul: one(({ g, x: [a, b], node }) => products(o.matmul, g, a, b, flags(node))),
  FusedMatMul: one(({ g, x: [a, b], node }) => products(o.matmul, g, a, b, flags(node))),
  Gemm: one(({ g, x: [a, b], node }) => [...products(o.gemm, g, a, b, flags(node)), () => g]),

  Transpose: one(({ g, node }) => [() => o.transpose(g, inverseOrder(node))]),
  Reshape: one(({ g, x: [a] }) => [() => o.reshape(g, a.shape)]),
  Expand: one(({ g }) => [() => g]),
  Slice: one(({ g, x: [a], node }) => [() => o.pad(g, ...slicePads(node, a))]),
  Pad: one(({ g, x: [a, pads] }) => [() => unpad(g, a, pads)]),
  Concat: one(({ g, node }) => splitLike(g, node)),
  Split: one(({ all, node }) => [() => o.concat(all, number(node, 'axis'))]),
  Gather: one(({ g, x: [a, at] }) => [() => o.scatterAddRows(o.zerosLike(a), at, g)]),
  ScatterND: one(({ g, x: [, at] }) => [
    () => g,
    undefined,
    () => o.gather(g, o.reshape(at, at.shape.slice(0, -1))),
  ]),

  ReduceSum: one(({ g, x: [a] }) => [() => o.expand(g, a.shape)]),
  ReduceMean: one(({ g, x: [a, axes] }) => [() => o.mul(o.expand(g, a.shape), meanShare(a, axes))]),
  ReduceMax: one(({ g, x: [a, axes], y }) => [() => o.mul(g, equalShares(a, y, axes))]),

  // dy_i/dx_j = y_i (δ_ij - y_j)
  Softmax: one(({ g, y }) => [() => o.mul(y, o.sub(g, o.reduceSum(o.mul(g, y), [-1])))]),
  SimplifiedLayerNormalization: rmsNormGradients,
  // Turning back is turning by the negative angle.
  RotaryEmbedding: one(({ g, x: [, at, cos, sin] }) => [() => o.rotaryEmbedding(g, at, cos, o.neg(sin))]),
}
