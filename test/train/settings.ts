import { fineTuneSchema } from '../../src/spec/fine-tune.ts'
import { resolveTrainSettings, type TrainSettings } from '../../src/train/train-settings.ts'

/** The spec's defaults on one thread, with changes. */
export function trainSettings(change: Partial<TrainSettings> = {}): TrainSettings {
  const { spec } = fineTuneSchema.parse({
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name: 'tiny' },
    spec: { model: { source: './model' }, data: { train: ['rows.jsonl'] }, train: { threads: 1 } },
  })
  return { ...resolveTrainSettings(spec.train, spec.data.maxLength), ...change }
}
