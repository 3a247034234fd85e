import { availableParallelism } from 'node:os'
import type { Precision } from '../model/precision.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { Layout } from './engine.ts'

/** spec.train with every `auto` resolved for the machine that trains: part of what names the result. */
export type TrainSettings = Omit<FineTuneSpec['train'], 'layout' | 'precision' | 'threads'> & {
  layout: Layout
  precision: Precision
  threads: number
  /** Tokens of a pack, where there are packs. */
  packedLength?: number
}

/**
 * For a CPU: by layer, float32, the cores that this process may use (a container's CPU limit included). Packs are as long as the
 * longest row may be.
 */
export function resolveTrainSettings(settings: FineTuneSpec['train'], maxLength: number): TrainSettings {
  return {
    ...settings,
    ...(settings.packing && { packedLength: maxLength }),
    layout: settings.layout === 'auto' ? 'by-layer' : settings.layout,
    precision: settings.precision === 'auto' ? 'exact' : settings.precision,
    threads: settings.threads === 'auto' ? availableParallelism() : settings.threads,
  }
}
