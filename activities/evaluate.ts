import { type EvaluateInput, type EvaluateOutcome, evaluate } from '../src/stages/evaluate.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function evaluateActivity(place: WorkerPlace): (input: EvaluateInput) => Promise<EvaluateOutcome> {
  return stageActivity(place, 'evaluate', evaluate)
}
