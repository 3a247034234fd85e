import type { Tensor } from 'onnxruntime-node'
import { Session, type SessionOptions, tensor } from '../onnx/session.ts'
import type { AdapterLayer } from './adapter-layers.ts'
import type { ModelConfig } from './config.ts'
import type { Decoder } from './decoder.ts'
import { decoderTensors } from './decoder-tensors.ts'
import type { ComputeType } from './layer.ts'
import { checkTokens, type FrozenWeights } from './frozen-weights.ts'
import { decodingGraph } from './whole-graph.ts'

/** A decoder in one graph, one call a token; the adapter's tensors are live. */
export async function createWholeDecoder(
  config: ModelConfig,
  weights: FrozenWeights,
  layers: readonly AdapterLayer[],
  compute: ComputeType,
  options: SessionOptions,
): Promise<Decoder> {
  const session = await Session.create(decodingGraph({ config, weights, layers, compute }), options)
  const adapter = layers.flatMap(({ tensors }) =>
    Array.from(tensors.values(), ({ name, shape, data }) => [name, tensor('float32', data, shape)] as const),
  )
  const empty = (): Map<string, Tensor> =>
    new Map(
      layers.flatMap((_, i) =>
        ['keys', 'values'].map((name) => [
          `past_${name}.${i}`,
          tensor('float32', new Float32Array(0), [1, config.kvHeads, 0, config.headDim]),
        ]),
      ),
    )
  let cache = empty()
  let past = 0
  return {
    async append(tokens) {
      const count = tokens.length
      checkTokens(tokens, config.vocabularySize)
      const outputs = await session.run(
        new Map([
          ...decoderTensors(config, past, count),
          ...adapter,
          ...cache,
          ['input_ids', tensor('int64', BigInt64Array.from(tokens, BigInt), [1, count])],
          ['last', tensor('int64', BigInt64Array.of(BigInt(count - 1)), [1])],
        ]),
      )
      const logits = outputs.get('logits')?.data as Float32Array
      outputs.delete('logits')
      cache = new Map(Array.from(outputs, ([name, value]) => [`past_${name}`, value]))
      past += count
      return logits
    },
    reset() {
      cache = empty()
      past = 0
    },
    dispose: () => session.dispose(),
  }
}
