import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeOutputFile } from '../formats/output-file.ts'
import { writeSafetensors } from '../formats/safetensors.ts'
import type { Adapter } from '../model/adapter.ts'
import { checkAdapter } from './check-adapter.ts'

/** The PEFT whose fields are written (peft/tuners/lora/config.py). */
const PEFT_VERSION = '0.21.2'

export interface AdapterOrigin {
  /** What PEFT loads the base from: the hub's owner/name, or a folder. */
  baseModel: string
  /** The base's commit on the hub. */
  revision?: string | undefined
}

/**
 * Writes adapter_config.json and adapter_model.safetensors as PEFT's save_pretrained does. NonFiniteError or InputError where
 * the adapter must not be published; InputError where the disk is full. `untrained`: no step was asked for.
 */
export async function writeAdapter(
  dir: string,
  adapter: Adapter,
  origin: AdapterOrigin,
  untrained = false,
): Promise<void> {
  checkAdapter(adapter, untrained)
  await mkdir(dir, { recursive: true })
  const tensors = [...adapter.tensors].map(([name, { shape, data }]) => ({
    name,
    type: 'F32' as const,
    shape: name.endsWith('.lora_magnitude_vector') ? shape.slice(1) : shape,
    data,
  }))
  await writeSafetensors(join(dir, 'adapter_model.safetensors'), tensors, { format: 'pt' })
  const { r, loraAlpha, loraDropout, targetModules, useRslora } = adapter.config
  const config = {
    alpha_pattern: adapter.config.alphaPattern ?? {},
    auto_mapping: null,
    base_model_name_or_path: origin.baseModel,
    bias: 'none',
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: loraAlpha,
    lora_bias: false,
    lora_dropout: loraDropout,
    modules_to_save: null,
    peft_type: 'LORA',
    peft_version: PEFT_VERSION,
    r,
    rank_pattern: adapter.config.rankPattern ?? {},
    revision: origin.revision ?? null,
    target_modules: targetModules,
    task_type: 'CAUSAL_LM',
    use_dora: adapter.config.useDora ?? false,
    use_rslora: useRslora,
  }
  await writeOutputFile(join(dir, 'adapter_config.json'), [
    Buffer.from(`${JSON.stringify(config, null, 2)}\n`),
  ])
}
