import { type JudgeInput, type JudgeOutcome, judgeChallenger } from '../src/nightly/judge-challenger.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function judgeChallengerActivity(place: WorkerPlace): (input: JudgeInput) => Promise<JudgeOutcome> {
  return stageActivity(place, 'judge-challenger', judgeChallenger)
}
