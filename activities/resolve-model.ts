import {
  type ResolveModelInput,
  type ResolveModelOutcome,
  resolveModel,
} from '../src/stages/resolve-model.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function resolveModelActivity(
  place: WorkerPlace,
): (input: ResolveModelInput) => Promise<ResolveModelOutcome> {
  return stageActivity(place, 'model', resolveModel)
}
