import { product, type Dim } from '../onnx/dims.ts'
import { flags, products, type Detour, type Rule } from '../onnx/gradient-terms.ts'
import type { DataType, Node, Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'
import { MASKED } from './attention-mask.ts'
import type { ModelConfig } from './config.ts'

/**
 * What tells a query which keys it sees. Only `given` takes memory that grows with the square of the length.
 *
 * - `given`: an input `mask` [rows, 1, queries, keys], added to the scores.
 * - `causal`: all keys up to itself. An input `causal` [blockLength, length], what causalTriangle() makes.
 * - `segments`: the same within its own segment only. A further input `segments` int32 [rows, length].
 */
export type AttentionKind = 'given' | 'causal' | 'segments'

export interface AttentionSetting {
  config: ModelConfig
  rows: Dim
  /** Queries are taken in so many blocks, each with only the keys up to its own end: nearly half of the work is saved. */
  blocks: number
  /** Tokens of a row: `blocks` times this. */
  blockLength: Dim
  attention: AttentionKind
  /** Whether the backward pass computes the softmax again, or finds it kept. */
  recomputes?: boolean
  /** Makes the layer's input of this name. */
  input: (name: string, type: DataType, shape: readonly Dim[]) => Value
  /** Receives the nodes whose gradient is computed otherwise than the table says. */
  rules: Map<Node, Rule | Detour>
}

/**
 * softmax(q·kᵀ/√d + mask)·v with the query heads of one key head taken together, as [rows·length, heads·headDim]; q
 * [rows, heads, length, headDim], keys and values [rows, kvHeads, past + length, headDim]. The backward pass computes one
 * block's softmax at a time again, and takes the sum that softmax's gradient wants from the output (as arXiv:2205.14135
 * does): Σ_j dP_ij·P_ij = dO_i·O_i, one short sum a query instead of two passes over all scores.
 */
export function attention(setting: AttentionSetting, q: Value, keys: Value, values: Value): Value {
  const { rows, blocks, blockLength, rules } = setting
  const { heads, kvHeads, headDim } = setting.config
  const length = product([blocks, blockLength])
  const sums: Value[] = []
  const inTurn = new InTurn()

  const attend = (block: number, given: Value, key: Value, value: Value, masked: Masking): Value => {
    const queries = given.shape[2] as Dim
    const seen = key.shape[2] as Dim
    const grouped = [rows, kvHeads, product([heads / kvHeads, queries])]
    const query = o.reshape(given, [...grouped, headDim])
    const softmaxOf = (query: Value) => {
      const scores = o.matmul(query, key, { transB: true, alpha: 1 / Math.sqrt(headDim) })
      const weights = o.softmax(masked(o.inType(o.reshape(scores, [rows, heads, queries, seen]), 'float32')))
      return { scores, weights, shares: o.inType(o.reshape(weights, [...grouped, seen]), value.type) }
    }
    const { scores, weights, shares } = softmaxOf(query)
    const out = o.matmul(shares, value)
    // What the backward pass sees of them: in its turn, computed again.
    let again = { weights, shares }
    rules.set(out.producer as Node, (_, [g]) => {
      if (setting.recomputes) again = softmaxOf(inTurn.next(query))
      const dOut = setting.recomputes ? inTurn.next(g as Value) : (g as Value)
      return [
        () => o.matmul(dOut, value, { transB: true }),
        () => inTurn.ended(o.matmul(again.shares, dOut, { transA: true })),
      ]
    })
    rules.set(weights.producer as Node, (_, [g]) => [
      () => o.mul(again.weights, o.sub(g as Value, sums[block] as Value)),
    ])
    rules.set(scores.producer as Node, (node, [g]) => {
      const [dQuery, dKey] = products(o.matmul, g as Value, query, key, flags(node))
      return [() => inTurn.ended(dQuery()), () => inTurn.ended(dKey())]
    })
    return o.reshape(out, [rows, heads, queries, headDim])
  }

  const cut = (value: Value, axis: number): Value[] => inBlocks(value, axis, blocks, blockLength)
  const maskings = maskingOf(setting, keys.shape[2] as Dim)
  const queryParts = cut(q, 2)
  const [keyParts, valueParts] = blocks === 1 ? [[keys], [values]] : [cut(keys, 2), cut(values, 2)]
  const parts = queryParts.map((query, i) =>
    attend(i, query, upTo(keyParts, i, 2), upTo(valueParts, i, 2), maskings[i] as Masking),
  )
  const byHead = parts.length === 1 ? (parts[0] as Value) : o.concat(parts, 2)
  const byToken = o.transpose(byHead, [0, 2, 1, 3]) // [rows, length, heads, headDim]
  const output = o.reshape(byToken, [product([rows, length]), heads * headDim])
  rules.set(output.producer as Node, (_, [g]) => {
    const dO = o.reshape(g as Value, byToken.shape)
    const products = o.mul(o.inType(dO, 'float32'), o.inType(o.reshape(output, byToken.shape), 'float32'))
    const dots = o.reduceSum(products, [-1]) // [rows, length, heads, 1]
    sums.push(...cut(o.transpose(dots, [0, 2, 1, 3]), 2))
    return [() => dO]
  })
  return output
}

/**
 * Blocks whose backward passes run one after the other. ONNX Runtime picks an order of its own, and without this makes the weights
 * of all blocks before it uses any: memory that grows with the square of the length.
 */
class InTurn {
  #before: Value[] = []
  #ended: Value[] = []

  /** The value, there only when the gradients of the block before are. */
  next(value: Value): Value {
    // The first to ask begins a block.
    if (this.#ended.length > 0) {
      this.#before = this.#ended
      this.#ended = []
    }
    const [first, ...more] = this.#before
    return first ? o.after(value, more.reduce(o.after, first)) : value
  }

  ended(gradient: Value): Value {
    this.#ended.push(gradient)
    return gradient
  }
}

/** Scores [rows, heads, queries, keys] with what must not count made very small. */
type Masking = (scores: Value) => Value

/** For each block of queries. */
function maskingOf(
  { rows, blocks, blockLength, attention: kind, input }: AttentionSetting,
  keys: Dim,
): Masking[] {
  const length = product([blocks, blockLength])
  if (kind === 'given') {
    const mask = input('mask', 'float32', [rows, 1, length, keys])
    return inBlocks(mask, 2, blocks, blockLength).map(
      (part, i) => (scores) => o.add(scores, upTo(inBlocks(part, 3, blocks, blockLength), i, 3)),
    )
  }
  const triangle = inBlocks(input('causal', 'float32', [blockLength, length]), 1, blocks, blockLength)
  const causal = triangle.map((_, i) => upTo(triangle.slice(blocks - 1 - i), i, 1))
  if (kind === 'causal') return causal.map((allowed) => (scores) => o.add(scores, allowed))
  const segments = inBlocks(input('segments', 'int32', [rows, length]), 1, blocks, blockLength)
  return causal.map((allowed, i) => {
    const own = o.reshape(segments[i] as Value, [rows, 1, blockLength, 1])
    const seen = upTo(segments, i, 1)
    const others = o.reshape(seen, [rows, 1, 1, seen.shape[1] as Dim])
    const same = o.cast(o.equal(own, others), 'float32')
    const foreign = o.mul(o.sub(same, o.scalar(same, 1)), o.scalar(same, -MASKED))
    return (scores) => o.add(scores, o.add(foreign, allowed))
  })
}

function inBlocks(value: Value, axis: number, blocks: number, blockLength: Dim): Value[] {
  return blocks === 1
    ? [value]
    : o.split(
        value,
        axis,
        Array.from({ length: blocks }, () => blockLength),
      )
}

function upTo(parts: readonly Value[], i: number, axis: number): Value {
  return i === 0 ? (parts[0] as Value) : o.concat(parts.slice(0, i + 1), axis)
}
