import { InputError } from '../errors.ts'
import { loraRank, type Adapter } from '../model/adapter.ts'

/** One module that an adapter changes: W + scale · B · A, with DoRA each row scaled to its magnitude. */
export interface AdapterModule {
  /** The weight's name in the base model: model.layers.N.self_attn.q_proj.weight. */
  weight: string
  a: { shape: [number, number]; data: Float32Array } // [r, in]
  b: { shape: [number, number]; data: Float32Array } // [out, r]
  /** DoRA's: the lengths that the rows of the sum are scaled to. */
  magnitude?: Float32Array
}

const TENSOR = /^base_model\.model\.(.+)\.lora_(?:(?:([AB])\.weight)|magnitude_vector)$/

/** The adapter's modules by the name of the weight they change. InputError names a tensor that is no part of one. */
export function adapterModules(adapter: Adapter): Map<string, AdapterModule> {
  const halves = new Map<string, Partial<AdapterModule>>()
  for (const [name, tensor] of adapter.tensors) {
    const [, module, half] = TENSOR.exec(name) ?? []
    if (module === undefined)
      throw new InputError(
        `the adapter's tensor ${JSON.stringify(name)} is no lora_A, lora_B or lora_magnitude_vector; use a plain LoRA adapter`,
      )
    const part = half === 'A' ? { a: tensor } : half === 'B' ? { b: tensor } : { magnitude: tensor.data }
    halves.set(module, { ...halves.get(module), ...part })
  }
  const modules = new Map<string, AdapterModule>()
  for (const [module, { a, b, magnitude }] of halves) {
    if (!a || !b)
      throw new InputError(
        `the adapter has only one of lora_A and lora_B for ${module}; get the whole adapter again`,
      )
    const r = loraRank(adapter.config, module)
    if (a.shape[0] !== r || b.shape[1] !== r)
      throw new InputError(
        `the adapter's tensors for ${module} have rank ${a.shape[0]} and ${b.shape[1]}, its config says ${r}; get the adapter again`,
      )
    if (
      (magnitude !== undefined) !== (adapter.config.useDora ?? false) ||
      (magnitude && magnitude.length !== b.shape[0])
    )
      throw new InputError(
        `the adapter's config says use_dora: ${adapter.config.useDora ?? false}, but ${module} has ${magnitude ? `${magnitude.length} magnitudes for ${b.shape[0]} outputs` : 'no magnitudes'}; get the whole adapter again`,
      )
    const part = { weight: `${module}.weight`, a, b }
    modules.set(part.weight, magnitude ? { ...part, magnitude } : part)
  }
  return modules
}

/** PEFT's names sorted as the model has its modules: by layer, q k v o gate up down, A before B before magnitudes. */
export function compareAdapterNames(left: string, right: string): number {
  const [a, b] = [adapterPlace(left), adapterPlace(right)]
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - (b[i] ?? 0)
  return left < right ? -1 : 1
}

const MODULES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']

function adapterPlace(name: string): [number, number, number] {
  const layer = Number(/\.layers\.(\d+)\./.exec(name)?.[1] ?? Number.MAX_SAFE_INTEGER)
  return [
    layer,
    MODULES.findIndex((module) => name.includes(`.${module}.`)),
    ['.lora_A.', '.lora_B.', '.lora_magnitude_vector'].findIndex((part) => name.includes(part)),
  ]
}
