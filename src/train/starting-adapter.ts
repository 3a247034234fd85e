import { InputError } from '../errors.ts'
import { readAdapter } from '../export/read-adapter.ts'
import type { Adapter, LoraConfig } from '../model/adapter.ts'
import type { ModelConfig } from '../model/config.ts'
import { resolveTargetModules } from '../model/projections.ts'
import type { WeightSource } from '../model/weights.ts'
import { canonicalJson } from '../store/canonical-json.ts'
import { initialAdapter } from './lora-init.ts'
import type { TrainSettings } from './train-settings.ts'

type AdapterSettings = Pick<
  TrainSettings,
  | 'r'
  | 'loraAlpha'
  | 'loraDropout'
  | 'useRslora'
  | 'useDora'
  | 'targetModules'
  | 'rankPattern'
  | 'alphaPattern'
>

export function loraConfigOf(settings: AdapterSettings): LoraConfig {
  const { r, loraAlpha, loraDropout, useRslora, useDora, rankPattern, alphaPattern } = settings
  const targetModules = resolveTargetModules(settings.targetModules)
  return { r, loraAlpha, loraDropout, useRslora, useDora, targetModules, rankPattern, alphaPattern }
}

/**
 * What training begins with: a fresh adapter, or where `continueFrom` names the folder of one, that with its numbers.
 * InputError where it is of another shape than the settings ask for.
 */
export function startingAdapter(
  { config, weights }: { config: ModelConfig; weights: Pick<WeightSource, 'float32'> },
  settings: AdapterSettings & { seed: number },
  continueFrom: string | undefined,
): Adapter {
  const fresh = initialAdapter(config, loraConfigOf(settings), settings.seed, weights)
  if (continueFrom === undefined) return fresh
  const before = readAdapter(continueFrom)
  requireAlike(before.config, settings)
  for (const [name, { shape, data }] of fresh.tensors) {
    const found = before.tensors.get(name)
    if (found?.shape.join('×') !== shape.join('×'))
      throw new InputError(
        `The adapter that training goes on from has ${name} as ${found?.shape.join('×') ?? 'nothing'}, not ${shape.join('×')}; it is of another model; set spec.start.from to base.`,
      )
    data.set(found.data)
  }
  return fresh
}

/** InputError with the first setting by which an adapter is another one than the job would train: it could not be gone on from. */
export function requireAlike(before: LoraConfig, settings: AdapterSettings): void {
  const wanted = loraConfigOf(settings)
  for (const field of [
    'r',
    'loraAlpha',
    'useRslora',
    'useDora',
    'targetModules',
    'rankPattern',
    'alphaPattern',
  ] as const) {
    const [was, is] = [plainOf(before, field), plainOf(wanted, field)]
    if (was === is) continue
    throw new InputError(
      `spec.fineTune.train.${field} is ${is}, but the adapter that training goes on from has ${was}; write that, or set spec.start.from to base.`,
    )
  }
}

/** Equal texts for equal meanings: in PEFT's file an empty pattern is missing, and targets stand in any order. */
function plainOf(config: LoraConfig, field: keyof LoraConfig): string {
  if (field === 'targetModules') return [...resolveTargetModules(config.targetModules)].sort().join(', ')
  return canonicalJson(config[field] ?? (field === 'useDora' ? false : {}))
}
