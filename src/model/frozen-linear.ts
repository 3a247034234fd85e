import type { Rule } from '../onnx/gradient-terms.ts'
import type { DataType, Node, Value } from '../onnx/graph.ts'
import type { Dim } from '../onnx/dims.ts'
import * as o from '../onnx/ops.ts'
import { INT4_BLOCK, type LinearFormat } from './linear-format.ts'

/** So small that it changes no row's largest value, but keeps a row of zeros from being divided by zero. */
const TINY = 1e-30

interface FrozenLinear {
  name: string
  out: number
  in: number
  bias: Value | undefined
  format: LinearFormat
  /** Makes the layer's input of this name. */
  input: (name: string, type: DataType, shape: readonly Dim[]) => Value
  /** Receives the nodes whose gradient is computed otherwise than the table says. */
  rules: Map<Node, Rule>
}

/** x [tokens, in] · Wᵀ + bias with the frozen W as storeLinear() lays it out. */
export function frozenLinear(x: Value, linear: FrozenLinear): Value {
  const { name, out, in: width, bias: c, input } = linear
  const product = (left: Value, weight: Value): Value => o.gemm(left, weight, { transB: true, c })
  switch (linear.format) {
    case 'float32':
      return product(x, input(name, 'float32', [out, width]))
    case 'float16':
      return product(x, o.cast(input(name, 'float16', [out, width]), 'float32'))
    case 'int4': {
      const packed = input(name, 'uint8', [out, width / 2])
      const factors = input(`${name}.factors`, 'float32', [out, width / INT4_BLOCK])
      return product(x, o.dequantize4(packed, factors, INT4_BLOCK))
    }
    case 'int8':
    case 'int8-gradients': {
      const whole = input(name, 'int8', [out, width])
      const factors = input(`${name}.factors`, 'float32', [out])
      const y = product(x, o.dequantizeRows(whole, factors))
      if (linear.format === 'int8-gradients' && y.producer)
        linear.rules.set(y.producer, (_, [g]) => [() => int8Product(o.mul(g as Value, factors), whole)])
      return y
    }
  }
}

/**
 * g · whole with both in int8: each row of g divided by its largest magnitude, so that one scale serves all rows (the
 * operator has but one), and multiplied by it afterwards.
 */
function int8Product(g: Value, whole: Value): Value {
  const largest = o.add(o.reduceMax(o.abs(g), [-1]), o.scalar(g, TINY))
  return o.mul(o.dynamicQuantizeMatMul(o.div(g, largest), whole, o.scalar(g, 1)), largest)
}
