import type { Tensor } from 'onnxruntime-node'
import { extract } from '../onnx/extract.ts'
import { Graph, type Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'
import { Session, tensor } from '../onnx/session.ts'
import type { AttentionKind } from './attention.ts'
import type { ModelConfig } from './config.ts'
import type { StoredTensor } from './linear-format.ts'
import { buildLayer } from './layer.ts'
import { PROJECTIONS, projectionInfo } from './projections.ts'
import { largestOfGroups, smoothingFactors, type LayerSmoothing, type SmoothedInput } from './smoothing.ts'

const READERS: Readonly<Record<SmoothedInput, readonly string[]>> = {
  qkv: ['q_proj', 'k_proj', 'v_proj'],
  o: ['o_proj'],
  mlp: ['gate_proj', 'up_proj'],
  down: ['down_proj'],
}

export interface Calibration {
  config: ModelConfig
  /** A layer's weights in float32, by the names of buildLayer's inputs. One layer is asked for at a time. */
  layer: (index: number) => ReadonlyMap<string, StoredTensor>
  /** What batchTensors() makes of the text. */
  common: ReadonlyMap<string, Tensor>
  /** The text's embeddings, [tokens, hidden]. */
  x: Tensor
  attention: AttentionKind
  blocks: number
  threads: number
}

/**
 * Runs the base model in float32 over a text and finds each layer's smoothing factors. The same text and weights give the
 * same factors, so a resumed run finds those that it began with.
 */
export async function calibrate(calibration: Calibration): Promise<LayerSmoothing[]> {
  const { config, common, attention, blocks } = calibration
  const { inputs, y, linearInputs } = buildLayer(new Graph(), {
    config,
    rows: 'B',
    blockLength: 'S',
    blocks,
    attention,
    tableRows: 'R',
    lora: new Map(),
    linear: 'float32',
  })
  const largest = Array.from(linearInputs, ([name, value]): [string, Value] => [
    name,
    o.reduceMax(o.abs(value), [0]),
  ])
  const session = await Session.create(extract(inputs, new Map([['y', y], ...largest])), {
    threads: calibration.threads,
  })
  const factors: LayerSmoothing[] = []
  let { x } = calibration
  try {
    for (let layer = 0; layer < config.layers; layer++) {
      const weights = calibration.layer(layer)
      const tensors = Array.from(weights, ([name, { type, data, shape }]): [string, Tensor] => [
        name,
        tensor(type, data, shape),
      ])
      const outputs = await session.run(new Map([...common, ...tensors, ['x', x]]))
      x = outputs.get('y') as Tensor
      const find = (name: SmoothedInput): Float32Array => {
        const found = [outputs.get(name)?.data as Float32Array, largestOfColumns(weights, READERS[name])]
        const [input, matrix] = name === 'o' ? found.map((all) => largestOfGroups(config, all)) : found
        return smoothingFactors(input as Float32Array, matrix as Float32Array)
      }
      factors.push({ qkv: find('qkv'), o: find('o'), mlp: find('mlp'), down: find('down') })
    }
  } finally {
    await session.dispose()
  }
  return factors

  function largestOfColumns(
    weights: ReadonlyMap<string, StoredTensor>,
    names: readonly string[],
  ): Float32Array {
    const readers = PROJECTIONS.filter((projection) => names.includes(projection))
    const width = projectionInfo(config, readers[0] ?? 'q_proj').in
    const columns = new Float32Array(width)
    for (const name of readers) {
      const data = weights.get(name)?.data as Float32Array
      for (let start = 0; start < data.length; start += width)
        for (let i = 0; i < width; i++) {
          const value = Math.abs(data[start + i] as number)
          if (value > (columns[i] as number)) columns[i] = value
        }
    }
    return columns
  }
}
