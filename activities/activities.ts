import type { ConcludeInput } from '../src/nightly/conclude-night.ts'
import type { JudgeInput, JudgeOutcome } from '../src/nightly/judge-challenger.ts'
import type { LookInput, LookOutcome } from '../src/nightly/look-for-rows.ts'
import type { NightRecord } from '../src/nightly/night-record.ts'
import type { ReleaseNameInput } from '../src/nightly/release-name.ts'
import type { TellInput } from '../src/nightly/tell-night.ts'
import type { CleanInput, CleanOutcome } from '../src/stages/clean.ts'
import type { EvaluateInput, EvaluateOutcome } from '../src/stages/evaluate.ts'
import type { MergeInput, MergeOutcome } from '../src/stages/merge.ts'
import type { RewindInput, SetAsideInput } from '../src/stages/prepare-retry.ts'
import type { PublishInput, PublishOutcome } from '../src/stages/publish.ts'
import type { QuantizeInput, QuantizeOutcome } from '../src/stages/quantize.ts'
import type { ResolveModelInput, ResolveModelOutcome } from '../src/stages/resolve-model.ts'
import type { TokenizeInput, TokenizeOutcome } from '../src/stages/tokenize.ts'
import type { TrainInput, TrainOutcome } from '../src/stages/train.ts'

/** What a workflow can ask for. Names and shapes are the contract between jobs under way and newer workers. */
export interface Activities {
  resolveModel(input: ResolveModelInput): Promise<ResolveModelOutcome>
  clean(input: CleanInput): Promise<CleanOutcome>
  tokenize(input: TokenizeInput): Promise<TokenizeOutcome>
  train(input: TrainInput): Promise<TrainOutcome>
  evaluate(input: EvaluateInput): Promise<EvaluateOutcome>
  merge(input: MergeInput): Promise<MergeOutcome>
  quantize(input: QuantizeInput): Promise<QuantizeOutcome>
  publish(input: PublishInput): Promise<PublishOutcome>
  lookForRows(input: LookInput): Promise<LookOutcome>
  judgeChallenger(input: JudgeInput): Promise<JudgeOutcome>
  concludeNight(input: ConcludeInput): Promise<NightRecord>
  releaseName(input: ReleaseNameInput): Promise<void>
  tellNight(input: TellInput): Promise<void>
  setAside(input: SetAsideInput): Promise<void>
  rewindTraining(input: RewindInput): Promise<void>
}
