import path from 'node:path'
import type { FineTuneScheduleSpec } from './fine-tune-schedule.ts'
import { type FineTuneSpec, isHubSource } from './fine-tune.ts'

/** The spec with its local paths made absolute: a document's paths are relative to the folder that it lies in. */
export function resolveDocumentPaths(spec: FineTuneSpec, folder: string): FineTuneSpec {
  const absolute = (local: string) => path.resolve(folder, local)
  const source = isHubSource(spec.model.source) ? spec.model.source : absolute(spec.model.source)
  return {
    ...spec,
    model: { ...spec.model, source },
    data: { ...spec.data, train: spec.data.train.map(absolute), eval: spec.data.eval.map(absolute) },
  }
}

/** The same for a schedule, whose sources may also be s3:// addresses. */
export function resolveSchedulePaths(spec: FineTuneScheduleSpec, folder: string): FineTuneScheduleSpec {
  const { fineTune } = spec
  const resolved = resolveDocumentPaths(fineTune, folder)
  const train = fineTune.data.train.map((source, index) =>
    source.startsWith('s3://') ? source : (resolved.data.train[index] ?? source),
  )
  return { ...spec, fineTune: { ...resolved, data: { ...resolved.data, train } } }
}
