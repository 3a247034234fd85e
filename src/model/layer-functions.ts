import { extract, type GraphFunction } from '../onnx/extract.ts'
import { differentiate } from '../onnx/gradient.ts'
import { Graph, type Value } from '../onnx/graph.ts'
import { buildLayer, type LayerSetting } from './layer.ts'

/** A layer cut into the functions that training runs. Both layouts are made of exactly these. */
export interface LayerFunctions {
  /** x, … → y. For evaluation. */
  forward: GraphFunction
  /** x, … → y and the kept tensors. */
  keeping: GraphFunction
  /** dy, x, the kept tensors, … → dx and `<projection>.lora_A.gradient`, `.lora_B.gradient`; the rest is computed again. */
  backward: GraphFunction
  /** What `keeping` puts out and `backward` takes in. */
  keptNames: readonly string[]
}

export function layerFunctions(setting: LayerSetting): LayerFunctions {
  const graph = new Graph()
  const { inputs, y, kept } = buildLayer(graph, setting)
  const dy = graph.input('dy', 'float32', y.shape)
  const adapter = Array.from(inputs).filter(([name]) => name.includes('.lora_'))
  const wrt = [inputs.get('x') as Value, ...adapter.map(([, value]) => value)]
  const gradients = differentiate(new Map([[y, dy]]), wrt) as Value[]
  const names = ['dx', ...adapter.map(([name]) => `${name}.gradient`)]
  const outputs = new Map(names.map((name, i) => [name, gradients[i] as Value]))

  const backward = extract(new Map([...inputs, ...kept, ['dy', dy]]), outputs)
  const needed = Array.from(kept).filter(([name]) => backward.inputs.has(name))
  return {
    forward: extract(inputs, new Map([['y', y]])),
    keeping: extract(inputs, new Map([['y', y], ...needed])),
    backward,
    keptNames: needed.map(([name]) => name),
  }
}
