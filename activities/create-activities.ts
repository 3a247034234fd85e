import type { Activities } from './activities.ts'
import { cleanActivity } from './clean.ts'
import { concludeNightActivity } from './conclude-night.ts'
import { evaluateActivity } from './evaluate.ts'
import { judgeChallengerActivity } from './judge-challenger.ts'
import { lookForRowsActivity } from './look-for-rows.ts'
import { mergeActivity } from './merge.ts'
import { publishActivity } from './publish.ts'
import { quantizeActivity } from './quantize.ts'
import { releaseNameActivity } from './release-name.ts'
import { resolveModelActivity } from './resolve-model.ts'
import type { WorkerPlace } from './stage-activity.ts'
import { rewindTrainingActivity } from './rewind-training.ts'
import { setAsideActivity } from './set-aside.ts'
import { tellNightActivity } from './tell-night.ts'
import { tokenizeActivity } from './tokenize.ts'
import { trainActivity } from './train.ts'

/** All activities, bound to the place where this worker runs. */
export function createActivities(place: WorkerPlace): Activities {
  return {
    resolveModel: resolveModelActivity(place),
    clean: cleanActivity(place),
    tokenize: tokenizeActivity(place),
    train: trainActivity(place),
    evaluate: evaluateActivity(place),
    merge: mergeActivity(place),
    quantize: quantizeActivity(place),
    publish: publishActivity(place),
    lookForRows: lookForRowsActivity(place),
    judgeChallenger: judgeChallengerActivity(place),
    concludeNight: concludeNightActivity(place),
    releaseName: releaseNameActivity(place),
    tellNight: tellNightActivity(place),
    setAside: setAsideActivity(place),
    rewindTraining: rewindTrainingActivity(place),
  }
}
