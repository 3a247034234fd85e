import type { Checkpointing, Precision } from '../model/precision.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { cpuShare } from './cpu-share.ts'
import type { Layout } from './engine.ts'

/** spec.train with every `auto` resolved for the machine that trains: part of what names the result. */
export type TrainSettings = Omit<
  FineTuneSpec['train'],
  'layout' | 'precision' | 'gradientCheckpointing' | 'threads'
> & {
  layout: Layout
  precision: Precision
  gradientCheckpointing: Checkpointing
  threads: number
  /** Tokens of a pack, where there are packs. */
  packedLength?: number
}

/**
 * For a CPU: by layer, float32, the cores that this process may use (a container's CPU limit included). Packs are as long as the
 * longest row may be.
 */
export function resolveTrainSettings(settings: FineTuneSpec['train'], maxLength: number): TrainSettings {
  const precision = settings.precision === 'auto' ? 'exact' : settings.precision
  return {
    ...settings,
    ...(settings.packing && { packedLength: maxLength }),
    layout: settings.layout === 'auto' ? 'by-layer' : settings.layout,
    precision,
    gradientCheckpointing:
      settings.gradientCheckpointing === 'auto'
        ? precision === 'small'
          ? 'full'
          : 'selective'
        : settings.gradientCheckpointing,
    threads: settings.threads === 'auto' ? cpuShare() : settings.threads,
  }
}
