import { extract, inline, type GraphFunction } from '../onnx/extract.ts'
import { differentiate } from '../onnx/gradient.ts'
import { Graph, type Node, type Value } from '../onnx/graph.ts'
import { cast } from '../onnx/ops.ts'
import { layerWeightName } from './layer-weight-name.ts'
import { buildLayer, type LayerSetting } from './layer.ts'

/**
 * What the backward pass finds beside a layer's input x: all that it needs, the tensors that are dear to compute again, as they
 * are or in half precision, or nothing, so that it runs the layer anew.
 */
export type KeptTensors = 'everything' | 'float32' | 'float16' | 'nothing'

/** x2 is the sum of all layers before: its largest values, some of them above float16's 65504, must not be lost. */
const ALWAYS_FLOAT32 = 'x2'

/** A layer cut into the functions that training runs. Both layouts are made of exactly these. */
export interface LayerFunctions {
  /** x, … → y. For evaluation. */
  forward: GraphFunction
  /** x, … → y and the kept tensors. */
  keeping: GraphFunction
  /** dy, x, the kept tensors, … → dx and `<input>.gradient` of each input that is trained; the rest is computed again. */
  backward: GraphFunction
  /** What `keeping` puts out and `backward` takes in. */
  keptNames: readonly string[]
}

/** Which of a layer's inputs are trained: LoRA's, or all its weights. */
export type TrainedInputs = 'adapter' | 'weights'

export function layerFunctions(
  setting: LayerSetting,
  keptTensors: KeptTensors = 'float32',
  trains: TrainedInputs = 'adapter',
): LayerFunctions {
  const graph = new Graph()
  const { inputs, y, kept, rules } = buildLayer(graph, {
    ...setting,
    recomputes: keptTensors !== 'everything',
  })
  const forwardNodes = graph.nodes.slice()
  const dy = graph.input('dy', 'float32', y.shape)
  const trained = Array.from(inputs).filter(([name]) =>
    trains === 'adapter' ? name.includes('.lora_') : layerWeightName(setting.config, 0, name) !== undefined,
  )
  const wrt = [inputs.get('x') as Value, ...trained.map(([, value]) => value)]
  const gradients = differentiate(new Map([[y, dy]]), wrt, rules) as Value[]
  const names = ['dx', ...trained.map(([name]) => `${name}.gradient`)]
  const outputs = new Map(names.map((name, i) => [name, gradients[i] as Value]))

  const given = givenTensors(keptTensors, kept, () => computedFrom(inputs.get('x') as Value, forwardNodes))
  const backward = extract(new Map([...inputs, ...given, ['dy', dy]]), outputs)
  const needed = Array.from(given).filter(([name]) => backward.inputs.has(name))
  const keptNames = needed.map(([name]) => name)
  const halves = new Set(keptTensors === 'float16' ? keptNames.filter((name) => name !== ALWAYS_FLOAT32) : [])
  const putOut = needed.map(([name, value]): [string, Value] => [
    name,
    halves.has(name) ? cast(value, 'float16') : value,
  ])
  return {
    forward: extract(inputs, new Map([['y', y]])),
    keeping: extract(inputs, new Map([['y', y], ...putOut])),
    backward: fromHalves(backward, halves),
    keptNames,
  }
}

function givenTensors(
  keptTensors: KeptTensors,
  dear: ReadonlyMap<string, Value>,
  all: () => ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> {
  switch (keptTensors) {
    case 'everything':
      return all()
    case 'float32':
    case 'float16':
      return dear
    case 'nothing':
      return new Map()
  }
}

/** All values that depend on x. What depends on weights alone is no activation and is made again. */
function computedFrom(x: Value, nodes: readonly Node[]): Map<string, Value> {
  const found = new Set([x])
  for (const node of nodes)
    if (node.inputs.some((input) => input && found.has(input)))
      for (const output of node.outputs) found.add(output)
  found.delete(x)
  return new Map(Array.from(found, (value) => [`kept ${value.name}`, value]))
}

/** The function with the named inputs given as float16. */
function fromHalves(source: GraphFunction, names: ReadonlySet<string>): GraphFunction {
  if (names.size === 0) return source
  const graph = new Graph()
  const inputs = new Map<string, Value>()
  const feeds = new Map<string, Value>()
  for (const [name, { type, shape }] of source.inputs) {
    const half = names.has(name)
    const input = graph.input(name, half ? 'float16' : type, shape)
    inputs.set(name, input)
    feeds.set(name, half ? cast(input, 'float32') : input)
  }
  return { graph, inputs, outputs: inline(graph, source, feeds) }
}
