import { product, type Dim } from '../onnx/dims.ts'
import type { Detour, Rule } from '../onnx/gradient-terms.ts'
import type { Graph, Node, Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'
import { attention, type AttentionKind } from './attention.ts'
import type { ModelConfig } from './config.ts'
import { doraOutput } from './dora.ts'
import { frozenLinear, LinearInput } from './frozen-linear.ts'
import type { SmoothedInput } from './smoothing.ts'
import { asNumbers, type LinearFormat } from './linear-format.ts'
import { projectionInfo, type Projection } from './projections.ts'

/** What a layer's graph is made for. Sizes may be names of unknowns. */
export interface LayerSetting {
  config: ModelConfig
  rows: Dim
  /** Tokens of a row: `blocks` times this. */
  blockLength: Dim
  /** Queries are taken in so many blocks. */
  blocks: number
  attention: AttentionKind
  /** Whether a backward pass computes attention's softmax again, block by block, or finds it kept. */
  recomputes?: boolean
  /** Positions in the rope tables. */
  tableRows: Dim
  /** The projections with LoRA, in PROJECTIONS' order. */
  lora: ReadonlyMap<Projection, LoraSetting>
  /** How the frozen matrices are given. */
  linear: LinearFormat
  /** In which numbers the products are computed; undefined: float32. Norms, softmax, the activation and the residual stream stay float32. */
  compute?: ComputeType | undefined
  /** Tokens in the key-value cache, for inference. */
  past?: Dim
}

/** As torch's autocast has it: the numbers of matrix products. */
export type ComputeType = 'float32' | 'float16' | 'bfloat16'

export interface LoraSetting {
  rank: number
  /** The factor on B·A. */
  scale: number
  /** The probability with which an input of A is dropped; 0 needs no mask. */
  dropout: number
  /** With a magnitude for each output (dora.ts). */
  isDora: boolean
}

/** A layer's ends. Inputs carry these values' names; `kept` is what a backward pass wants, the rest it computes again. */
export interface Layer {
  inputs: Map<string, Value>
  y: Value
  kept: Map<string, Value>
  /** For differentiate(). */
  rules: Map<Node, Rule | Detour>
  /** What the projections are multiplied with, [rows·length, …]. */
  linearInputs: Map<SmoothedInput, Value>
  /** All keys and values up to the last token, [rows, kvHeads, past + length, headDim]. */
  keys: Value
  values: Value
}

/**
 * One decoder layer of the Llama shape (RMSNorm, grouped-query attention with rotary positions, SwiGLU), the same for
 * training and inference. Inputs: x [rows·length, hidden], positions int64 [rows, length], cos and sin, attention's mask, the frozen
 * weights under their projection's name, and LoRA's `<projection>.lora_A` [rank, in], `.lora_B` [out, rank], with DoRA `.lora_magnitude_vector` [1, out] and, with
 * dropout, `.keep` uint8 [rows·length, in]. Output y is like x.
 */
export function buildLayer(graph: Graph, setting: LayerSetting): Layer {
  const { config, rows, lora, compute = 'float32' } = setting
  const length = product([setting.blocks, setting.blockLength])
  const { hiddenSize, heads, kvHeads, headDim } = config
  const tokens = product([rows, length])
  const inputs = new Map<string, Value>()
  const input = (name: string, type: Value['type'], shape: readonly Dim[]): Value => {
    const value = graph.input(name, type, shape)
    inputs.set(name, value)
    return value
  }
  const rules = new Map<Node, Rule | Detour>()
  const kept = new Map<string, Value>()
  const keep = (name: string, value: Value): Value => {
    kept.set(name, value)
    return value
  }

  const x = input('x', 'float32', [tokens, hiddenSize])
  const positions = input('positions', 'int64', [rows, length])
  const tables = ['cos', 'sin'].map((name) =>
    o.inType(input(name, 'float32', [setting.tableRows, headDim / 2]), compute),
  ) as [Value, Value]
  const norm = (name: string, value: Value): Value =>
    o.rmsNorm(value, input(name, 'float32', [hiddenSize]), config.rmsNormEpsilon).y

  // Where inputs are smoothed (smoothing.ts), `value` is already divided by `smooth`, and A takes the factors back in.
  const linearInputs = new Map<SmoothedInput, Value>()
  const smooth = (name: SmoothedInput, size: number): Value | undefined =>
    setting.linear === 'w8a8' ? input(`${name}.smooth`, 'float32', [size]) : undefined
  const smooths = {
    qkv: smooth('qkv', hiddenSize),
    o: smooth('o', kvHeads * headDim),
    mlp: smooth('mlp', hiddenSize),
    down: smooth('down', config.intermediateSize),
  }
  const smoothed = (a: Value, name: SmoothedInput): Value => {
    const factors = smooths[name]
    if (!factors) return a
    if (name !== 'o') return o.mul(a, factors)
    // One factor for all query heads that see the same value.
    const grouped = [a.shape[0] as Dim, kvHeads, heads / kvHeads, headDim]
    return o.reshape(o.mul(o.reshape(a, grouped), o.reshape(factors, [kvHeads, 1, headDim])), a.shape)
  }
  /** The projections whose outputs are to come out divided by the factors of what they lead to. */
  const unsmoothed = (b: Value, projection: Projection): Value => {
    const factors = projection === 'v_proj' ? smooths.o : projection === 'up_proj' ? smooths.down : undefined
    return factors ? o.div(b, o.reshape(factors, [b.shape[0] as Dim, 1])) : b
  }

  /** Projections of one input. LoRA's A matrices are joined into one product where no dropout tells their inputs apart. */
  const project = (name: SmoothedInput, given: Value, projections: readonly Projection[]): Value[] => {
    const value = o.inType(given, compute)
    linearInputs.set(name, value)
    const mids = loraMids(name, value, projections)
    const shared = new LinearInput(value)
    return projections.map((projection) => {
      const info = projectionInfo(config, projection)
      const bias = info.bias
        ? o.inType(input(`${projection}.bias`, 'float32', [info.out]), compute)
        : undefined
      const adapted = lora.get(projection)
      const isDora = adapted?.isDora ?? false
      const base = frozenLinear(shared, {
        ...info,
        name: projection,
        bias: isDora ? undefined : bias,
        format: isDora ? asNumbers(setting.linear) : setting.linear,
        compute,
        input,
        rules,
      })
      const mid = mids.get(projection)
      if (!mid || !adapted) return base
      const b = o.inType(input(`${projection}.lora_B`, 'float32', [info.out, adapted.rank]), compute)
      const change = o.gemm(mid, unsmoothed(b, projection), { transB: true, alpha: adapted.scale })
      if (!isDora) return o.add(base, change)
      return doraOutput({
        base,
        change,
        a: o.inType(inputs.get(`${projection}.lora_A`) as Value, compute),
        b,
        scale: adapted.scale,
        magnitude: input(`${projection}.lora_magnitude_vector`, 'float32', [1, info.out]),
        bias,
        keep: (name, kept) => keep(`${projection}.${name}`, kept),
        rules,
      })
    })
  }
  const loraMids = (
    name: SmoothedInput,
    value: Value,
    projections: readonly Projection[],
  ): Map<Projection, Value> => {
    const adapted = projections.flatMap((projection) => {
      const found = lora.get(projection)
      return found ? [{ projection, ...found }] : []
    })
    const a = adapted.map(({ projection, rank }) =>
      smoothed(
        o.inType(
          input(`${projection}.lora_A`, 'float32', [rank, projectionInfo(config, projection).in]),
          compute,
        ),
        name,
      ),
    )
    const [first] = adapted
    if (!first) return new Map()
    if (first.dropout > 0) {
      return new Map(
        adapted.map(({ projection, dropout }, i) => {
          const mask = o.cast(input(`${projection}.keep`, 'uint8', value.shape), compute)
          const mid = o.gemm(o.mul(value, mask), a[i] as Value, { transB: true, alpha: 1 / (1 - dropout) })
          return [projection, keep(`${projection}.mid`, mid)]
        }),
      )
    }
    const joined = a.length === 1 ? (a[0] as Value) : o.concat(a, 0)
    const mid = keep(`${name}.mid`, o.gemm(value, joined, { transB: true }))
    const parts =
      a.length === 1
        ? [mid]
        : o.split(
            mid,
            1,
            adapted.map(({ rank }) => rank),
          )
    return new Map(adapted.map(({ projection }, i) => [projection, parts[i] as Value]))
  }

  const [q2, k2, v2] = project('qkv', norm('input_norm', x), ['q_proj', 'k_proj', 'v_proj']) as [
    Value,
    Value,
    Value,
  ]
  const byHead = (value: Value, count: number): Value =>
    o.transpose(o.reshape(value, [rows, length, count, headDim]), [0, 2, 1, 3]) // [rows, count, length, headDim]
  const turned = (name: 'q' | 'k', value: Value): Value => {
    const rotate = (heads: Value): Value => o.rotaryEmbedding(heads, positions, ...tables)
    if (!config.queryKeyNorm) return keep(name, rotate(value))
    // Kept before the norm, from which the backward pass has norm and rotation again at little cost.
    const weight = input(`${name}_norm`, 'float32', [headDim])
    const kept = o.inType(keep(name, value), 'float32')
    return rotate(o.inType(o.rmsNorm(kept, weight, config.rmsNormEpsilon).y, compute))
  }
  const q = turned('q', byHead(q2, heads))
  const newKeys = turned('k', byHead(k2, kvHeads))
  const newValues = keep('v', byHead(v2, kvHeads))
  const remembered = (name: string, value: Value): Value =>
    setting.past === undefined
      ? value
      : o.concat(
          [o.inType(input(name, 'float32', [rows, kvHeads, setting.past, headDim]), compute), value],
          2,
        )
  const keys = remembered('past_keys', newKeys)
  const values = remembered('past_values', newValues)
  const attended = keep('o', attention({ ...setting, input, rules }, q, keys, values))
  const [projected] = project('o', attended, ['o_proj']) as [Value]
  const x2 = keep('x2', o.add(x, o.inType(projected, 'float32')))

  const [gate, up] = project('mlp', norm('post_norm', x2), ['gate_proj', 'up_proj']) as [Value, Value]
  keep('gate', gate)
  keep('up', up)
  const active = o.inType(o.quickGelu(o.inType(gate, 'float32'), 1), compute)
  const [down] = project('down', o.mul(active, up), ['down_proj']) as [Value]
  return { inputs, y: o.add(x2, o.inType(down, 'float32')), kept, rules, linearInputs, keys, values }
}
