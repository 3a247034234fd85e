import type { Detour, Rule } from '../onnx/gradient-terms.ts'
import type { DataType, Node, Value } from '../onnx/graph.ts'
import type { Dim } from '../onnx/dims.ts'
import * as o from '../onnx/ops.ts'
import type { ComputeType } from './layer.ts'
import { INT4_BLOCK, type LinearFormat } from './linear-format.ts'

/** So small that it changes no row's largest value, but keeps a row of zeros from being divided by zero. */
const TINY = 1e-30
/** The largest whole number that a row's largest value becomes. */
const LARGEST = 127

interface FrozenLinear {
  name: string
  out: number
  in: number
  bias: Value | undefined
  format: LinearFormat
  /** The numbers that the product is computed in: those of x and bias. */
  compute: ComputeType
  /** Makes the layer's input of this name. */
  input: (name: string, type: DataType, shape: readonly Dim[]) => Value
  /** Receives the nodes whose gradient is computed otherwise than the table says. */
  rules: Map<Node, Rule | Detour>
}

/** What several matrices are multiplied with; it is rounded once for all of them. */
export class LinearInput {
  readonly value: Value
  #rounded: RoundedRows | undefined

  constructor(value: Value) {
    this.value = value
  }

  get rounded(): RoundedRows {
    return (this.#rounded ??= roundRows(this.value))
  }
}

/** x [tokens, in] · Wᵀ + bias with the frozen W as storeLinear() lays it out. */
export function frozenLinear(x: LinearInput, linear: FrozenLinear): Value {
  const { name, out, in: width, bias: c, input } = linear
  const product = (weight: Value): Value =>
    o.gemm(x.value, o.inType(weight, linear.compute), { transB: true, c })
  switch (linear.format) {
    case 'float32':
      return product(input(name, 'float32', [out, width]))
    case 'float16':
    case 'bfloat16':
      return product(input(name, linear.format, [out, width]))
    case 'int4': {
      const packed = input(name, 'uint8', [out / 2, width])
      const factors = input(`${name}.factors`, 'float32', [out, width / INT4_BLOCK])
      return product(o.dequantize4(packed, factors, INT4_BLOCK))
    }
    case 'int8':
      return product(
        o.dequantizeRows(input(name, 'int8', [out, width]), input(`${name}.factors`, 'float32', [out])),
      )
    case 'int8-products': {
      const whole = input(name, 'int8', [out, width])
      const factors = input(`${name}.factors`, 'float32', [out])
      const y = roundedProduct(x.rounded, o.transpose(whole, [1, 0]), factors)
      linear.rules.set(y.producer as Node, {
        to: x.value,
        gradient: (g) => roundedProduct(roundRows(o.mul(g, factors)), whole, o.scalar(g, 1)),
      })
      return c ? o.add(y, c) : y
    }
  }
}

/** A matrix as whole numbers, each row with a scale of its own: `scales` [rows, 1] times (`whole` - 128). */
interface RoundedRows {
  whole: Value
  scales: Value
}

function roundRows(x: Value): RoundedRows {
  const largest = o.reduceMax(o.abs(x), [-1])
  const scales = o.add(o.mul(largest, o.scalar(x, 1 / LARGEST)), o.scalar(x, TINY))
  return { whole: o.quantizeRows(x, o.reshape(scales, x.shape.slice(0, 1))), scales }
}

function roundedProduct({ whole, scales }: RoundedRows, matrix: Value, factors: Value): Value {
  return o.mul(o.integerMatmul(whole, matrix, factors), scales)
}
