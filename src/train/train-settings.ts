import type { Checkpointing, Precision } from '../model/precision.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { cpuShare } from './cpu-share.ts'
import type { Layout } from './engine.ts'

/**
 * spec.train with every `auto` resolved for the machine that trains: part of what names the result. Only a LoRA's precision by layer may
 * still be `auto`; what it becomes follows from these settings, the model and the rows (choose-precision.ts).
 */
export type TrainSettings = Omit<
  FineTuneSpec['train'],
  'device' | 'layout' | 'precision' | 'gradientCheckpointing' | 'threads'
> & {
  /** Undefined: the CPU. A job that began before there was another has no such field either. */
  device?: 'cuda'
  layout: Layout
  precision: Precision | 'auto'
  gradientCheckpointing: Checkpointing
  threads: number
  /** Tokens of a pack, where there are packs. */
  packedLength?: number
}

/**
 * By layer on a CPU, whole on a GPU; the cores that this process may use (a container's CPU limit included). Packs are as long as the
 * longest row may be.
 */
export function resolveTrainSettings(
  { device, ...settings }: FineTuneSpec['train'],
  maxLength: number,
): TrainSettings {
  const layout = settings.layout === 'auto' ? (device === 'cuda' ? 'whole' : 'by-layer') : settings.layout
  const isChosen = layout === 'by-layer' && settings.method === 'lora'
  return {
    ...settings,
    ...(settings.packing && { packedLength: maxLength }),
    ...(device === 'cuda' && { device }),
    layout,
    precision: settings.precision === 'auto' && !isChosen ? 'exact' : settings.precision,
    gradientCheckpointing:
      settings.gradientCheckpointing === 'auto'
        ? settings.precision === 'small'
          ? 'full'
          : 'selective'
        : settings.gradientCheckpointing,
    threads: settings.threads === 'auto' ? cpuShare() : settings.threads,
  }
}
