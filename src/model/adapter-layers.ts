import { InputError } from '../errors.ts'
import { loraScale, type Adapter } from './adapter.ts'
import type { ModelConfig } from './config.ts'
import type { LoraSetting } from './layer.ts'
import { adapterName, PROJECTIONS, projectionInfo, projectionPath, type Projection } from './projections.ts'

/** One layer's part of what is trained: of an adapter or, with method full, of the weights themselves. */
export interface AdapterLayer {
  lora: ReadonlyMap<Projection, LoraSetting>
  /** By the names of buildLayer's inputs (`q_proj.lora_A`): the tensor's own name, and it itself, live. */
  tensors: ReadonlyMap<string, { name: string; shape: readonly number[]; data: Float32Array }>
}

/** An adapter by layers. InputError where a tensor belongs to no layer, lacks its other half or has another shape. */
export function adapterLayers(
  config: ModelConfig,
  adapter: Adapter | undefined,
  dropout = 0,
): AdapterLayer[] {
  const unknown = new Set(adapter?.tensors.keys())
  const layers = Array.from({ length: config.layers }, (_, layer): AdapterLayer => {
    const lora = new Map<Projection, LoraSetting>()
    const tensors = new Map<string, { name: string; shape: readonly number[]; data: Float32Array }>()
    for (const projection of PROJECTIONS) {
      const [nameA, nameB] = (['lora_A', 'lora_B'] as const).map((matrix) =>
        adapterName(config, layer, projection, matrix),
      ) as [string, string]
      const a = adapter?.tensors.get(nameA)
      const b = adapter?.tensors.get(nameB)
      if (!adapter || (!a && !b)) continue
      if (!a || !b) throw new InputError(`the adapter has ${a ? nameA : nameB}, but not ${a ? nameB : nameA}`)
      const info = projectionInfo(config, projection)
      const rank = a.shape[0]
      if (a.shape[1] !== info.in || b.shape[0] !== info.out || b.shape[1] !== rank)
        throw new InputError(
          `the adapter's ${nameA} [${a.shape.join(', ')}] and lora_B [${b.shape.join(', ')}] do not fit this model, whose ${projection} is [${info.out}, ${info.in}]`,
        )
      const magnitudeName = adapterName(config, layer, projection, 'lora_magnitude_vector')
      const magnitude = adapter.tensors.get(magnitudeName)
      if (magnitude && magnitude.data.length !== info.out)
        throw new InputError(
          `the adapter's ${magnitudeName} has ${magnitude.data.length} values, but ${projection} of this model ${info.out} outputs`,
        )
      lora.set(projection, {
        rank,
        scale: loraScale(adapter.config, projectionPath(config, layer, projection), rank),
        dropout,
        isDora: magnitude !== undefined,
      })
      tensors.set(`${projection}.lora_A`, { name: nameA, ...a })
      tensors.set(`${projection}.lora_B`, { name: nameB, ...b })
      if (magnitude) tensors.set(`${projection}.lora_magnitude_vector`, { name: magnitudeName, ...magnitude })
      unknown.delete(magnitudeName)
      unknown.delete(nameA)
      unknown.delete(nameB)
    }
    return { lora, tensors }
  })
  const [stray] = unknown
  if (stray !== undefined)
    throw new InputError(
      `the adapter's tensor ${stray} belongs to no layer of this model (${config.layers} layers)`,
    )
  return layers
}
