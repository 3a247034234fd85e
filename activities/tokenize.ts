import { type TokenizeInput, type TokenizeOutcome, tokenize } from '../src/stages/tokenize.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function tokenizeActivity(place: WorkerPlace): (input: TokenizeInput) => Promise<TokenizeOutcome> {
  return stageActivity(place, 'tokenize', tokenize)
}
