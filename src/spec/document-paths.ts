import path from 'node:path'
import type { FineTuneSpec } from './fine-tune.ts'

/** The spec with its local paths made absolute: a document's paths are relative to the folder that it lies in. */
export function resolveDocumentPaths(spec: FineTuneSpec, folder: string): FineTuneSpec {
  const absolute = (local: string) => path.resolve(folder, local)
  const source = spec.model.source.startsWith('hf://') ? spec.model.source : absolute(spec.model.source)
  return {
    ...spec,
    model: { ...spec.model, source },
    data: { ...spec.data, train: spec.data.train.map(absolute), eval: spec.data.eval.map(absolute) },
  }
}
