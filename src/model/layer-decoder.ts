import type { Tensor } from 'onnxruntime-node'
import { Session, tensor } from '../onnx/session.ts'
import type { AdapterLayer } from './adapter-layers.ts'
import type { ModelConfig } from './config.ts'
import type { Decoder } from './decoder.ts'
import { decodingLayer } from './decoding-layer.ts'
import { decoderTensors } from './decoder-tensors.ts'
import { embed, type FrozenWeights } from './frozen-weights.ts'
import { headSlices } from './head-slices.ts'
import { headFormat, headParts } from './head.ts'
import { layerTensors } from './layer-tensors.ts'

interface Cache {
  keys: Tensor
  values: Tensor
}

/** A decoder on weights that are in memory already; the adapter's tensors are live. */
export async function createLayerDecoder(
  config: ModelConfig,
  weights: FrozenWeights,
  layers: readonly AdapterLayer[],
  threads: number,
): Promise<Decoder> {
  const sessions = new Map<string, Session>()
  const sessionOf = async (layer: AdapterLayer): Promise<Session> => {
    const key = JSON.stringify(Array.from(layer.lora))
    const session =
      sessions.get(key) ?? (await Session.create(decodingLayer(config, layer, weights.linear), { threads }))
    sessions.set(key, session)
    return session
  }
  const parts = headParts(config, headFormat(weights.head))
  const normalise = await Session.create(parts.normalise, { threads })
  const logitsOf = await Session.create(parts.logits, { threads })
  const finalNorm = tensor('float32', weights.finalNorm.data, weights.finalNorm.shape)
  const tensors = layers.map((layer, i) => layerTensors(weights, i, layer))
  const empty = (): Cache[] =>
    layers.map(() => {
      const nothing = tensor('float32', new Float32Array(0), [1, config.kvHeads, 0, config.headDim])
      return { keys: nothing, values: nothing }
    })
  let caches = empty()
  let past = 0
  return {
    async append(tokens) {
      const { hiddenSize } = config
      const common = decoderTensors(config, past, tokens.length)
      let x = tensor('float32', embed(config, weights.embedding, tokens), [tokens.length, hiddenSize])
      for (const [i, layer] of layers.entries()) {
        const { keys, values } = caches[i] as Cache
        const feeds = new Map([...common, ...(tensors[i] ?? []), ['x', x], ['past_keys', keys], ['past_values', values]]) // prettier-ignore
        const outputs = await (await sessionOf(layer)).run(feeds)
        caches[i] = { keys: outputs.get('keys') as Tensor, values: outputs.get('values') as Tensor }
        x = outputs.get('y') as Tensor
      }
      past += tokens.length
      const last = (x.data as Float32Array).subarray((tokens.length - 1) * hiddenSize)
      const normalised = await normalise.run(new Map([['x', tensor('float32', last, [1, hiddenSize])], ['final_norm', finalNorm]])) // prettier-ignore
      const logits = new Float32Array(config.vocabularySize)
      for (const { first, feeds } of headSlices(weights.head, 1)) {
        const outputs = await logitsOf.run(new Map([...normalised, ...feeds]))
        logits.set(outputs.get('logits')?.data as Float32Array, first)
      }
      return logits
    },
    reset() {
      caches = empty()
      past = 0
    },
    async dispose() {
      for (const session of [...sessions.values(), normalise, logitsOf]) await session.dispose()
    },
  }
}
