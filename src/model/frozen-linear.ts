import type { Detour, Rule } from '../onnx/gradient-terms.ts'
import type { DataType, Node, Value } from '../onnx/graph.ts'
import type { Dim } from '../onnx/dims.ts'
import * as o from '../onnx/ops.ts'
import type { ComputeType } from './layer.ts'
import { INT4_BLOCK, type LinearFormat } from './linear-format.ts'
import { type RoundedRows, type Rounding, roundRows, wholeProduct } from './whole-product.ts'

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
  readonly #rounded = new Map<Rounding, RoundedRows>()

  constructor(value: Value) {
    this.value = value
  }

  rounded(rounding: Rounding): RoundedRows {
    const known = this.#rounded.get(rounding) ?? roundRows(this.value, rounding)
    this.#rounded.set(rounding, known)
    return known
  }
}

/** x [tokens, in] · Wᵀ + bias with the frozen W as storeLinear() lays it out. */
export function frozenLinear(x: LinearInput, linear: FrozenLinear): Value {
  const { name, out, in: width, bias: c, input } = linear
  const product = (weight: Value): Value =>
    o.gemm(x.value, o.inType(weight, linear.compute), { transB: true, c })
  const eightBits = (): Value => input(name, 'int8', [out, width])
  const fourBits = (): Value =>
    o.unpack4(
      input(name, 'uint8', [out / 2, width]),
      input(`${name}.multipliers`, 'uint8', [out / INT4_BLOCK, width]),
      INT4_BLOCK,
    )
  const factors = (): Value => input(`${name}.factors`, 'float32', [out])
  switch (linear.format) {
    case 'float32':
      return product(input(name, 'float32', [out, width]))
    case 'float16':
    case 'bfloat16':
      return product(input(name, linear.format, [out, width]))
    case 'int8':
      return product(o.dequantizeRows(eightBits(), factors()))
    case 'int4':
      return product(o.dequantizeRows(fourBits(), factors()))
    case 'w8a8':
      return wholeLinear(x, linear, eightBits(), factors(), '8 bits')
    case 'w8a16':
      return wholeLinear(x, linear, eightBits(), factors(), '16 bits')
    case 'w4a16':
      return wholeLinear(x, linear, fourBits(), factors(), '16 bits')
  }
}

/** With both sides of the product as whole numbers, forward and backward. */
function wholeLinear(
  x: LinearInput,
  { bias, rules }: FrozenLinear,
  whole: Value,
  factors: Value,
  rounding: Rounding,
): Value {
  const y = wholeProduct(x.rounded(rounding), o.transpose(whole, [1, 0]), factors)
  rules.set(y.producer as Node, {
    to: x.value,
    gradient: (g) => wholeProduct(roundRows(o.mul(g, factors), rounding), whole, o.scalar(g, 1)),
  })
  return bias ? o.add(y, bias) : y
}
