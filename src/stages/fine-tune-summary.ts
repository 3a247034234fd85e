import type { ArtifactRef } from '../store/artifact.ts'
import type { EvaluateSummary } from './evaluate.ts'
import type { PublishSummary } from './publish.ts'
import type { TrainSummary } from '../train/train-task.ts'

/** The artifacts of a fine-tune by what they hold. */
export interface FineTuneArtifacts {
  clean: ArtifactRef
  tokenized: ArtifactRef
  adapter: ArtifactRef
  evaluation: ArtifactRef
  merged: ArtifactRef
  /** Missing where the spec asks for no quantised file. */
  quantized?: ArtifactRef
}

/** What a finished fine-tune is: references and small numbers. */
export interface FineTuneSummary {
  artifacts: FineTuneArtifacts
  training: TrainSummary
  evaluation: EvaluateSummary
  /** Missing where whoever started the job judges the model before it is published. */
  published?: PublishSummary
}
