import { float32ToBfloat16, float32ToHalf } from '../formats/numbers.ts'
import { broadcast, formatShape, product, sameShape, sum, type Dim, type Shape } from './dims.ts'
import {
  GraphError,
  type Attribute,
  type DataType,
  type Graph,
  type TensorData,
  type Value,
} from './graph.ts'
import { shapeTensor } from './shape-tensor.ts'

/**
 * The operators as functions of values: each checks its inputs, infers the output's type and shape, and adds a node.
 * Semantics are ONNX's (opset 21) and, for those in encode.ts's MICROSOFT_OPS, ONNX Runtime's com.microsoft.
 */

const int = (value: number): Attribute => ({ kind: 'int', value })
const float = (value: number): Attribute => ({ kind: 'float', value })
const flag = (value: boolean): Attribute => int(value ? 1 : 0)

function one(
  op: string,
  inputs: readonly (Value | undefined)[],
  type: DataType,
  shape: Shape,
  attributes: Record<string, Attribute> = {},
): Value {
  const [first] = inputs
  if (!first) throw new GraphError(op, 'needs an input', inputs)
  return first.graph.node(op, inputs, attributes, [{ type, shape }])[0] as Value
}

function sameTypes(op: string, inputs: readonly Value[]): DataType {
  const type = (inputs[0] as Value).type
  if (inputs.some((value) => value.type !== type)) throw new GraphError(op, 'types differ', inputs)
  return type
}

function needs(
  op: string,
  condition: boolean,
  problem: string,
  inputs: readonly (Value | undefined)[],
): void {
  if (!condition) throw new GraphError(op, problem, inputs)
}

function axisOf(op: string, x: Value, axis: number): number {
  const at = axis < 0 ? axis + x.shape.length : axis
  needs(op, Number.isInteger(at) && at >= 0 && at < x.shape.length, `no axis ${axis}`, [x])
  return at
}

function dimAt(shape: Shape, axis: number): Dim {
  return shape[axis < 0 ? axis + shape.length : axis] as Dim
}

/** int64 constant [n]. */
function ints(graph: Graph, values: readonly number[]): Value {
  return graph.constant('int64', [values.length], BigInt64Array.from(values, BigInt))
}

/** A scalar of the type of `like`. */
export function scalar(like: Value, value: number): Value {
  needs('Constant', like.type.includes('float'), 'a scalar must be float', [like])
  return like.graph.constant(like.type, [], scalarData(like.type, value))
}

function scalarData(type: DataType, value: number): TensorData {
  switch (type) {
    case 'float64':
      return Float64Array.of(value)
    case 'float16':
      return float32ToHalf(Float32Array.of(value))
    case 'bfloat16':
      return float32ToBfloat16(Float32Array.of(value))
    case 'float32':
    case 'int64':
    case 'int32':
    case 'int8':
    case 'uint8':
    case 'bool':
      return Float32Array.of(value)
  }
}

// ---- element by element -------------------------------------------------------------------------------------------

const unary =
  (op: string) =>
  (x: Value): Value =>
    one(op, [x], x.type, x.shape)

export const neg = unary('Neg')
export const exp = unary('Exp')
export const log = unary('Log')
export const sqrt = unary('Sqrt')
export const sigmoid = unary('Sigmoid')
export const abs = unary('Abs')

/** x · sigmoid(alpha · x); alpha 1 is SiLU. float32 only. */
export function quickGelu(x: Value, alpha: number): Value {
  needs('QuickGelu', x.type === 'float32', 'has a float32 kernel only', [x])
  return one('QuickGelu', [x], x.type, x.shape, { alpha: float(alpha) })
}

const binary =
  (op: string, result?: DataType) =>
  (a: Value, b: Value): Value => {
    const type = sameTypes(op, [a, b])
    const shape = broadcast(a.shape, b.shape)
    if (!shape) throw new GraphError(op, 'shapes do not broadcast', [a, b])
    return one(op, [a, b], result ?? type, shape)
  }

export const add = binary('Add')
export const sub = binary('Sub')
export const mul = binary('Mul')
export const div = binary('Div')
export const equal = binary('Equal', 'bool')

/** ONNX's numbers of element types (TensorProto.DataType). */
export const ELEMENT_TYPES: Record<DataType, number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
}

export function cast(x: Value, type: DataType): Value {
  return one('Cast', [x], type, x.shape, { to: int(ELEMENT_TYPES[type]) })
}

/** x as numbers of a type: itself where it is of that already. */
export function inType(x: Value, type: DataType): Value {
  return x.type === type ? x : cast(x, type)
}

/** Whole numbers [rows, columns] with a factor for each row, as numbers: int8, or uint8 as quantizeRows() makes it. */
export function dequantizeRows(whole: Value, factors: Value): Value {
  const op = 'DequantizeLinear'
  const fits = whole.type === 'int8' || whole.type === 'uint8'
  const isMatrix = whole.shape.length === 2 && sameShape(factors.shape, whole.shape.slice(0, 1))
  needs(op, fits && isMatrix, 'needs 8-bit [rows, columns] and a factor a row', [whole, factors])
  const zeros = whole.type === 'uint8' ? [quantizedZeros(factors)] : []
  return one(op, [whole, factors, ...zeros], factors.type, whole.shape, { axis: int(0) })
}

/**
 * int8 matrix [2·rows, columns] from 4-bit numbers n, two a byte: (n - 8) · multiplier, with an int8 multiplier (its bits as uint8) for each `block` rows of
 * a column. The low halves are the first `rows` rows, the high halves the others, so that nothing need be interleaved.
 * Differences and products of uint8 wrap around, and int8 is the same bits.
 */
export function unpack4(packed: Value, multipliers: Value, block: number): Value {
  const op = 'unpack4'
  const [half, columns] = packed.shape
  const known = typeof half === 'number' && typeof columns === 'number' && packed.type === 'uint8'
  const fits = known && sameShape(multipliers.shape, [(2 * half) / block, columns])
  needs(op, fits && multipliers.type === 'uint8', 'multipliers do not fit', [packed, multipliers])
  const { graph } = packed
  const byte = (value: number): Value => graph.constant('uint8', [], Uint8Array.of(value))
  const [rows, width] = [2 * (half as number), columns as number]
  const low = one('BitwiseAnd', [packed, byte(15)], 'uint8', packed.shape)
  const high = one('BitShift', [packed, byte(4)], 'uint8', packed.shape, {
    direction: { kind: 'string', value: 'RIGHT' },
  })
  const blocks = [rows / block, block, width]
  const numbers = reshape(sub(concat([low, high], 0), byte(8)), blocks)
  const multiplied = mul(numbers, reshape(multipliers, [rows / block, 1, width]))
  return cast(reshape(multiplied, [rows, width]), 'int8')
}

// ---- products -----------------------------------------------------------------------------------------------------

function matmulShape(op: string, a: Value, b: Value, transA: boolean, transB: boolean): Dim[] {
  needs(op, a.shape.length >= 2 && b.shape.length >= 2, 'needs at least two dimensions', [a, b])
  const [m, k] = transA ? [dimAt(a.shape, -1), dimAt(a.shape, -2)] : [dimAt(a.shape, -2), dimAt(a.shape, -1)]
  const [k2, n] = transB ? [dimAt(b.shape, -1), dimAt(b.shape, -2)] : [dimAt(b.shape, -2), dimAt(b.shape, -1)]
  needs(op, k === k2, `inner dimensions ${k} and ${k2} differ`, [a, b])
  const outer = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2))
  if (!outer) throw new GraphError(op, 'outer dimensions do not broadcast', [a, b])
  return [...outer, m, n]
}

export interface MatMulOptions {
  transA?: boolean
  transB?: boolean
  alpha?: number
}

/** alpha · A·B over the last two dimensions, either transposed. */
export function matmul(a: Value, b: Value, options: MatMulOptions = {}): Value {
  const { transA = false, transB = false, alpha = 1 } = options
  const plain = !transA && !transB && alpha === 1
  const op = plain ? 'MatMul' : 'FusedMatMul'
  const shape = matmulShape(op, a, b, transA, transB)
  const type = sameTypes(op, [a, b])
  return one(
    op,
    [a, b],
    type,
    shape,
    plain ? {} : { transA: flag(transA), transB: flag(transB), alpha: float(alpha) },
  )
}

/** alpha · A·B + C of matrices, either of A and B transposed, C broadcast to the result. */
export function gemm(a: Value, b: Value, options: MatMulOptions & { c?: Value | undefined } = {}): Value {
  const { c, transA = false, transB = false, alpha = 1 } = options
  needs('Gemm', a.shape.length === 2 && b.shape.length === 2, 'needs two matrices', [a, b])
  const shape = matmulShape('Gemm', a, b, transA, transB)
  const inputs = c ? [a, b, c] : [a, b]
  const type = sameTypes('Gemm', inputs)
  const result = c && broadcast(c.shape, shape)
  needs('Gemm', !c || (!!result && sameShape(result, shape)), `C does not fit ${formatShape(shape)}`, inputs)
  return one('Gemm', inputs, type, shape, {
    transA: flag(transA),
    transB: flag(transB),
    alpha: float(alpha),
  })
}

/** uint8 round(x / scale) + 128 of a matrix with a scale for each row [rows]. */
export function quantizeRows(x: Value, scales: Value): Value {
  const op = 'QuantizeLinear'
  needs(op, x.shape.length === 2 && sameShape(scales.shape, x.shape.slice(0, 1)), 'needs a scale a row', [
    x,
    scales,
  ])
  return one(op, [x, scales, quantizedZeros(scales)], 'uint8', x.shape, { axis: int(0) })
}

/** What 0 becomes in quantizeRows(): the products of uint8 by int8 are the only fast ones. */
const QUANTIZED_ZERO = 128

/** The kernels want as many zero points as scales. */
function quantizedZeros(scales: Value): Value {
  return cast(add(mul(scales, scalar(scales, 0)), scalar(scales, QUANTIZED_ZERO)), 'uint8')
}

/** (A - 128) · B · scales as float32: A uint8 [rows, n], B int8 [n, columns], a scale for each column or one for all. */
export function integerMatmul(a: Value, b: Value, scales: Value): Value {
  const op = 'MatMulIntegerToFloat'
  const shape = matmulShape(op, a, b, false, false)
  const fits = scales.shape.length === 0 || sameShape(scales.shape, shape.slice(-1))
  needs(op, a.type === 'uint8' && b.type === 'int8' && fits, 'needs uint8, int8 and a scale a column', [
    a,
    b,
    scales,
  ])
  const zero = a.graph.constant('uint8', [], Uint8Array.of(QUANTIZED_ZERO))
  return one(op, [a, b, scalar(scales, 1), scales, zero], 'float32', shape)
}

// ---- moving elements ----------------------------------------------------------------------------------------------

export function transpose(x: Value, permutation: readonly number[]): Value {
  const fits = permutation.length === x.shape.length && new Set(permutation).size === permutation.length
  needs('Transpose', fits, `[${permutation.join(', ')}] is no order of the axes`, [x])
  const shape = permutation.map((axis) => x.shape[axisOf('Transpose', x, axis)] as Dim)
  return one('Transpose', [x], x.type, shape, { perm: { kind: 'ints', value: permutation } })
}

export function reshape(x: Value, shape: Shape): Value {
  needs('Reshape', product(x.shape) === product(shape), `${formatShape(shape)} has another size`, [x])
  return one('Reshape', [x, shapeTensor(x, shape)], x.type, [...shape])
}

/**
 * x itself, but not before `other` is computed: its shape is all zeros (as in x), made from other's. So that a whole
 * graph recomputes where it is told to, neither earlier nor merged with the first computation. Costs nothing.
 */
export function after(x: Value, other: Value): Value {
  const { graph } = x
  const dims = one('Shape', [other], 'int64', [other.shape.length])
  const first = one('Gather', [dims, ints(graph, [0])], 'int64', [1], { axis: int(0) })
  const zeros = one('Mul', [first, ints(graph, x.shape.map(() => 0))], 'int64', [x.shape.length]) // prettier-ignore
  return one('Reshape', [x, zeros], x.type, x.shape)
}

export function expand(x: Value, shape: Shape): Value {
  const result = broadcast(x.shape, shape)
  needs('Expand', !!result && sameShape(result, shape), `cannot become ${formatShape(shape)}`, [x])
  return one('Expand', [x, shapeTensor(x, shape, { exact: true })], x.type, [...shape])
}

/** Elements start..end-1 along one axis of known size. */
export function slice(x: Value, axis: number, start: number, end: number): Value {
  const at = axisOf('Slice', x, axis)
  const size = x.shape[at]
  const fits = typeof size === 'number' && start >= 0 && start < end && end <= size
  needs('Slice', fits, `no elements ${start}..${end} along axis ${at}`, [x])
  const { graph } = x
  const shape = x.shape.with(at, end - start)
  return one('Slice', [x, ints(graph, [start]), ints(graph, [end]), ints(graph, [at])], x.type, shape)
}

/** Zeros before and after along one axis. */
export function pad(x: Value, axis: number, before: number, after: number): Value {
  const at = axisOf('Pad', x, axis)
  needs('Pad', before >= 0 && after >= 0, `cannot pad by ${before} and ${after}`, [x])
  const pads = x.shape
    .map((_, i) => (i === at ? before : 0))
    .concat(x.shape.map((_, i) => (i === at ? after : 0)))
  const shape = x.shape.with(at, sum([x.shape[at] as Dim, before + after]))
  return one('Pad', [x, ints(x.graph, pads)], x.type, shape)
}

export function concat(values: readonly Value[], axis: number): Value {
  const [first] = values
  if (!first) throw new GraphError('Concat', 'needs an input', values)
  const at = axisOf('Concat', first, axis)
  const fits = values.every((value) => sameShape(value.shape.with(at, 0), first.shape.with(at, 0)))
  needs('Concat', fits, `shapes differ beside axis ${at}`, values)
  const shape = first.shape.with(at, sum(values.map((value) => value.shape[at] as Dim)))
  return one('Concat', values, sameTypes('Concat', values), shape, { axis: int(at) })
}

/** Parts along one axis. Sizes that are not known must all be equal. */
export function split(x: Value, axis: number, sizes: Shape): Value[] {
  const at = axisOf('Split', x, axis)
  const equal = sizes.every((size) => size === sizes[0])
  const fits = x.shape[at] === sum(sizes) && (equal || sizes.every((size) => typeof size === 'number'))
  needs('Split', fits, `sizes ${formatShape(sizes)} do not cover axis ${at}`, [x])
  const outputs = sizes.map((size) => ({ type: x.type, shape: x.shape.with(at, size) }))
  return equal
    ? x.graph.node('Split', [x], { axis: int(at), num_outputs: int(sizes.length) }, outputs)
    : x.graph.node('Split', [x, ints(x.graph, sizes as number[])], { axis: int(at) }, outputs)
}

/** Rows (axis 0) by int64 indices of any shape. */
export function gather(x: Value, indices: Value): Value {
  needs('Gather', indices.type === 'int64', 'indices must be int64', [x, indices])
  needs('Gather', x.shape.length >= 1, 'needs a dimension', [x, indices])
  return one('Gather', [x, indices], x.type, [...indices.shape, ...x.shape.slice(1)], { axis: int(0) })
}

/** x with updates[i] added to row indices[i]; indices int64 [n], updates [n, ...row]. Rows may repeat. */
export function scatterAddRows(x: Value, indices: Value, updates: Value): Value {
  const fits = sameShape(updates.shape, [...indices.shape, ...x.shape.slice(1)])
  needs('ScatterND', indices.type === 'int64' && fits, 'updates must be one row an index', [
    x,
    indices,
    updates,
  ])
  const rows = reshape(indices, [...indices.shape, 1])
  return one('ScatterND', [x, rows, updates], sameTypes('ScatterND', [x, updates]), x.shape, {
    reduction: { kind: 'string', value: 'add' },
  })
}

/** Zeros of x's type and shape. */
export function zerosLike(x: Value): Value {
  return expand(
    reshape(
      scalar(x, 0),
      x.shape.map(() => 1),
    ),
    x.shape,
  )
}

// ---- reductions; reduced axes stay, with size 1 -------------------------------------------------------------------

const reduction =
  (op: string) =>
  (x: Value, axes: readonly number[]): Value => {
    const at = axes.map((axis) => axisOf(op, x, axis))
    const shape = x.shape.map((dim, i) => (at.includes(i) ? 1 : dim))
    return one(op, [x, ints(x.graph, at)], x.type, shape, { keepdims: int(1) })
  }

export const reduceSum = reduction('ReduceSum')
export const reduceSumSquare = reduction('ReduceSumSquare')
export const reduceMean = reduction('ReduceMean')
export const reduceMax = reduction('ReduceMax')

/** The index of the largest element along the last axis, the first of equals; int64, the axis stays with size 1. */
export function argMax(x: Value): Value {
  return one('ArgMax', [x], 'int64', x.shape.with(-1, 1), { axis: int(-1), keepdims: int(1) })
}

// ---- larger steps -------------------------------------------------------------------------------------------------

/** Over the last axis. */
export function softmax(x: Value): Value {
  return one('Softmax', [x], x.type, x.shape, { axis: int(-1) })
}

/** x / sqrt(mean(x²) + epsilon) · weight over the last axis, and 1 / sqrt(…) [..., 1] (RMSNorm, arXiv:1910.07467). float32 only. */
export function rmsNorm(x: Value, weight: Value, epsilon: number): { y: Value; inverse: Value } {
  const op = 'SimplifiedLayerNormalization'
  needs(op, sameShape(weight.shape, x.shape.slice(-1)), 'the weight must have the last dimension', [
    x,
    weight,
  ])
  const type = sameTypes(op, [x, weight])
  needs(op, type === 'float32', 'its second output is float32 only', [x, weight])
  const [y, inverse] = x.graph.node(op, [x, weight], { axis: int(-1), epsilon: float(epsilon) }, [
    { type, shape: x.shape },
    { type, shape: x.shape.with(-1, 1) },
  ]) as [Value, Value]
  return { y, inverse }
}

/**
 * Rotary position embedding of x [B, heads, T, d], the halves (i, i + d/2) of each head turned by the angle of its
 * position: positions int64 [B, T]; cos, sin [positions, d/2]. float32 only.
 */
export function rotaryEmbedding(x: Value, positions: Value, cos: Value, sin: Value): Value {
  const inputs = [x, positions, cos, sin]
  const [batch, , length, size] = x.shape
  const fits =
    x.shape.length === 4 &&
    positions.type === 'int64' &&
    sameShape(positions.shape, [batch as Dim, length as Dim]) &&
    sameShape(cos.shape, sin.shape) &&
    cos.shape.length === 2 &&
    typeof size === 'number' &&
    cos.shape[1] === size / 2
  needs('RotaryEmbedding', fits, 'needs x [B, heads, T, d], positions [B, T], cos and sin [n, d/2]', inputs)
  return one('RotaryEmbedding', inputs, sameTypes('RotaryEmbedding', [x, cos, sin]), x.shape)
}
