import type { Checkpointing, Precision } from '../model/precision.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { cpuShare } from './cpu-share.ts'
import type { Layout } from './engine.ts'

/** spec.train with every `auto` resolved for the machine that trains: part of what names the result. */
export type TrainSettings = Omit<
  FineTuneSpec['train'],
  'device' | 'layout' | 'precision' | 'gradientCheckpointing' | 'threads'
> & {
  /** Undefined: the CPU. A job that began before there was another has no such field either. */
  device?: 'cuda'
  layout: Layout
  precision: Precision
  gradientCheckpointing: Checkpointing
  threads: number
  /** Tokens of a pack, where there are packs. */
  packedLength?: number
}

/**
 * By layer on a CPU, whole on a GPU; float32, the cores that this process may use (a container's CPU limit included). Packs are as long as the
 * longest row may be.
 */
export function resolveTrainSettings(
  { device, ...settings }: FineTuneSpec['train'],
  maxLength: number,
): TrainSettings {
  const precision = settings.precision === 'auto' ? 'exact' : settings.precision
  return {
    ...settings,
    ...(settings.packing && { packedLength: maxLength }),
    ...(device === 'cuda' && { device }),
    layout: settings.layout === 'auto' ? (device === 'cuda' ? 'whole' : 'by-layer') : settings.layout,
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
