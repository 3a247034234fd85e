import { inline, type GraphFunction } from '../onnx/extract.ts'
import { Graph, type Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'
import type { AdapterLayer } from './adapter-layers.ts'
import type { ModelConfig } from './config.ts'
import { decodingLayer } from './decoding-layer.ts'
import type { ComputeType } from './layer.ts'
import type { FrozenWeights } from './frozen-weights.ts'
import { headFunctions } from './head.ts'
import { layerFunctions } from './layer-functions.ts'
import type { StoredTensor } from './linear-format.ts'

interface WholeModel {
  config: ModelConfig
  weights: FrozenWeights
  layers: readonly AdapterLayer[]
  /** In which numbers its products are: those that embedding, head and layers' matrices are stored in. Undefined: float32. */
  compute?: ComputeType | undefined
}

/**
 * The graphs of the whole model, the frozen weights inside. All take input_ids int64 [B, S], what batchTensors() makes,
 * and the adapter's tensors by their names. Sizes are unknowns: one graph for all batches.
 */
class WholeGraph {
  readonly graph = new Graph()
  readonly #model: WholeModel
  readonly #constants = new Map<StoredTensor, Value>()

  constructor(model: WholeModel) {
    this.#model = model
  }

  /** Tied weights are one constant. */
  constant(weight: StoredTensor): Value {
    const known = this.#constants.get(weight)
    const value = known ?? this.graph.constant(weight.type, weight.shape, weight.data)
    this.#constants.set(weight, value)
    return value
  }

  /** [rows·length, hidden]. */
  embedded(rows: string | number, length: string): Value {
    const ids = this.graph.input('input_ids', 'int64', [rows, length])
    const tokens = typeof rows === 'string' ? `${rows}*${length}` : length
    const { embedding } = this.#model.weights
    if (embedding.at === 'file') throw new Error('one graph of all needs the embedding in memory')
    const found = o.inType(o.gather(this.constant(embedding.matrix), ids), 'float32')
    return o.reshape(found, [tokens, this.#model.config.hiddenSize])
  }

  common(rows: string | number, length: string, seen = length): Map<string, Value> {
    const half = this.#model.config.headDim / 2
    return new Map([
      ['positions', this.graph.input('positions', 'int64', [rows, length])],
      ['cos', this.graph.input('cos', 'float32', ['R', half])],
      ['sin', this.graph.input('sin', 'float32', ['R', half])],
      ['mask', this.graph.input('mask', 'float32', [rows, 1, length, seen])],
    ])
  }

  /** A layer's frozen weights and its adapter's tensors, by the names of buildLayer's inputs. */
  layer(index: number): Map<string, Value> {
    const { weights, layers } = this.#model
    const values = new Map<string, Value>()
    for (const [name, weight] of weights.layers[index] ?? []) values.set(name, this.constant(weight))
    for (const [name, { name: full, shape }] of layers[index]?.tensors ?? [])
      values.set(name, this.graph.input(full, 'float32', shape))
    return values
  }

  head(): Map<string, Value> {
    const { finalNorm, head } = this.#model.weights
    return new Map([
      ['final_norm', this.constant(finalNorm)],
      ['head', this.constant(head)],
    ])
  }

  /** Every node leads to an output, so nothing has to be cut. */
  finish(outputs: Map<string, Value>): GraphFunction {
    return {
      graph: this.graph,
      inputs: new Map(this.graph.inputs.map((input) => [input.name, input])),
      outputs,
    }
  }
}

const B = 'B'
const S = 'S'
const setting = { rows: B, blockLength: S, blocks: 1, attention: 'given', tableRows: 'R' } as const

/** What a training graph has beside the model. */
export interface TrainingGraphOptions {
  /** LoRA's: masks come in as `<layer>.<projection>.keep`. */
  dropout: number
  labelSmoothing: number
  /** An input `noise` [B·S, hidden] is added to the embeddings. */
  noise: boolean
}

/**
 * Forward, backward and the adapter's gradients in one: loss [N, 1] and `<adapter tensor>.gradient`. `places` and `labels`
 * int64 [N] say which rows of the last layer's output predict what. With products in 16 bits the input `scale` multiplies all gradients. Each layer's backward pass starts from the same kept
 * tensors as in the other layout, and recomputes the rest once its turn has come.
 */
export function trainingGraph(
  model: WholeModel,
  { dropout, labelSmoothing, noise }: TrainingGraphOptions,
): GraphFunction {
  const { config, layers, compute } = model
  const { linear } = model.weights
  const whole = new WholeGraph(model)
  const { graph } = whole
  let x = whole.embedded(B, S)
  if (noise) x = o.add(x, graph.input('noise', 'float32', x.shape))
  const common = whole.common(B, S)
  const supervised = ['places', 'labels'].map((name) => graph.input(name, 'int64', ['N'])) as [Value, Value]
  const scale = compute && compute !== 'float32' ? graph.input('scale', 'float32', []) : undefined

  const functions = new Map<string, ReturnType<typeof layerFunctions>>()
  const runs = layers.map((layer, i) => {
    const lora = new Map(Array.from(layer.lora, ([projection, found]) => [projection, { ...found, dropout }]))
    const key = JSON.stringify(Array.from(lora))
    const found = functions.get(key) ?? layerFunctions({ ...setting, config, lora, linear, compute })
    functions.set(key, found)
    const feeds = new Map([...common, ...whole.layer(i)])
    for (const [name, value] of found.keeping.inputs)
      if (name.endsWith('.keep')) feeds.set(name, graph.input(`${i}.${name}`, value.type, value.shape))
    const outputs = inline(graph, found.keeping, feeds.set('x', x))
    const kept = found.keptNames.map((name): [string, Value] => [name, outputs.get(name) as Value])
    const run = { backward: found.backward, feeds, kept: [...kept, ['x', x] as [string, Value]] }
    x = outputs.get('y') as Value
    return run
  })

  const [places, labels] = supervised
  const head = inline(
    graph,
    headFunctions(config, labelSmoothing, compute).train,
    new Map([...whole.head(), ['x', o.gather(x, places)], ['labels', labels], ...(scale ? [['scale', scale] as const] : [])]), // prettier-ignore
  )
  const gradients = new Map([['loss', head.get('loss') as Value]])
  let dy = o.scatterAddRows(o.zerosLike(x), places, head.get('dx') as Value)
  for (const [i, { backward, feeds, kept }] of Array.from(runs.entries()).reverse()) {
    for (const [name, value] of kept) feeds.set(name, o.after(value, dy))
    const outputs = inline(graph, backward, feeds.set('dy', dy))
    for (const [input, { name }] of layers[i]?.tensors ?? [])
      gradients.set(`${name}.gradient`, outputs.get(`${input}.gradient`) as Value)
    dy = outputs.get('dx') as Value
  }
  return whole.finish(gradients)
}

/** Forward only: loss [N, 1] and best int64 [N, 1] at `places`, or with `all` the logits [B·S, vocabulary] of every place, or `y.<layer>` of every layer. */
export function evaluationGraph(model: WholeModel, what: 'loss' | 'logits' | 'activations'): GraphFunction {
  const { config, layers, compute } = model
  const { linear } = model.weights
  const whole = new WholeGraph(model)
  let x = whole.embedded(B, S)
  const common = whole.common(B, S)
  const outputs = new Map<string, Value>()
  for (const [i, { lora }] of layers.entries()) {
    const { forward } = layerFunctions({ ...setting, config, lora, linear, compute })
    x = inline(whole.graph, forward, new Map([...common, ...whole.layer(i), ['x', x]])).get('y') as Value
    outputs.set(`y.${i}`, x)
  }
  if (what === 'activations') return whole.finish(outputs)
  const head = headFunctions(config, 0, compute)
  if (what === 'logits') return whole.finish(inline(whole.graph, head.logits, whole.head().set('x', x)))
  const [places, labels] = ['places', 'labels'].map((name) => whole.graph.input(name, 'int64', ['N'])) as [
    Value,
    Value,
  ]
  const feeds = whole.head().set('x', o.gather(x, places)).set('labels', labels)
  return whole.finish(inline(whole.graph, head.evaluate, feeds))
}

/**
 * The inference graph with its key-value cache, one row: input_ids [1, T], `last` int64 [1] (the token whose logits are
 * wanted), `past_keys.<layer>` and `past_values.<layer>` [1, kvHeads, P, headDim] → logits [1, vocabulary], `keys.<layer>`
 * and `values.<layer>` with the new tokens behind the old.
 */
export function decodingGraph(model: WholeModel): GraphFunction {
  const { config, layers, compute } = model
  const { linear } = model.weights
  const whole = new WholeGraph(model)
  const { graph } = whole
  let x = whole.embedded(1, 'T')
  const common = whole.common(1, 'T', '(P+T)')
  const last = graph.input('last', 'int64', [1])
  const outputs = new Map<string, Value>()
  for (const [i, layer] of layers.entries()) {
    const feeds = new Map([...common, ...whole.layer(i), ['x', x]] as const)
    for (const name of ['keys', 'values'])
      feeds.set(
        `past_${name}`,
        graph.input(`past_${name}.${i}`, 'float32', [1, config.kvHeads, 'P', config.headDim]),
      )
    const run = inline(graph, decodingLayer(config, layer, linear, compute), feeds)
    for (const name of ['keys', 'values']) outputs.set(`${name}.${i}`, run.get(name) as Value)
    x = run.get('y') as Value
  }
  const head = inline(
    graph,
    headFunctions(config, 0, compute).logits,
    whole.head().set('x', o.gather(x, last)),
  )
  return whole.finish(outputs.set('logits', head.get('logits') as Value))
}
