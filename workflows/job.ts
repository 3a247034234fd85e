import type { FineTuneSpec } from '../src/spec/fine-tune.ts'
import type { CleanOutcome } from '../src/stages/clean.ts'
import type { Decision } from '../src/stages/decision.ts'
import type { TokenizeOutcome } from '../src/stages/tokenize.ts'
import type { ArtifactRef } from '../src/store/artifact.ts'
import type { FailureCounts } from '../src/failures/failure-details.ts'
import type { MemoryRung } from '../src/failures/memory-ladder.ts'
import type { Failure } from './failure.ts'
import type { Recovery } from './recoveries.ts'

/** In the order in which they run. `model` resolves the base model: it belongs to the preparation, the other seven make artifacts. */
export const STAGES = [
  'model',
  'clean',
  'tokenize',
  'train',
  'evaluate',
  'merge',
  'quantize',
  'publish',
] as const
export type StageName = (typeof STAGES)[number]

/** What a job is started with. */
export interface FineTuneJob {
  /** The workflow's id: the job's name in the store too. */
  jobId: string
  spec: FineTuneSpec
  /** Where training runs. */
  trainingQueue: string
  /** Seconds without a sign of life after which a worker counts as lost. */
  heartbeatSeconds: number
  /** A job that is begun again by hand: what of its earlier run does not count any more. */
  again?: {
    /** Artifacts to make again. */
    setAside: ArtifactRef[]
    /** Training begins with the checkpoint of this step. */
    checkpoint?: number
  }
  /**
   * Rows that somebody has made already: a night cleans and tokenizes only what is new. Such a job publishes nothing; whoever
   * started it judges the model first.
   */
  prepared?: {
    clean: CleanOutcome
    tokenized: TokenizeOutcome
    /** An adapter to go on from. */
    continueFrom?: ArtifactRef
  }
  /** Whoever started it reports what became of the workers' pods. */
  reportsPods?: true
  /** Search attributes are written only where the server has them: a write to an unknown one would block the job. */
  searchAttributes: boolean
  /** What the workflow was started with; its training has it too. */
  priority?: JobPriority
}

/** As Temporal names it: 1 is first and 5 last; what waits under equal keys is served in turns by fairnessKey. */
export interface JobPriority {
  priorityKey?: number
  fairnessKey?: string
  fairnessWeight?: number
}

/** A question to a person, and what was answered. */
export interface Approval {
  /** In milliseconds since 1970. */
  askedAt: number
  decision?: Decision
}

export interface StageStatus {
  name: StageName
  state:
    | 'waiting'
    | 'running'
    | 'retrying'
    | 'paused'
    /** Waits for a person's word. */
    | 'asking'
    | 'done'
    | 'skipped'
    | 'failed'
    | 'rejected'
    | 'cancelled'
  /** From 1; 0 where it has not begun. */
  attempts: number
  startedAt?: number
  finishedAt?: number
  /** Numbers and short words of the stage's summary, for people. */
  summary?: Record<string, unknown>
  /** Digest of the artifact in the store. */
  digest?: string
  /** Publishing: where the job asks a person first. */
  approval?: Approval
  /** The last failure, with the evidence by which its kind was known. */
  failure?: Failure
  /** What failures have cost so far. */
  failures?: FailureCounts
  /** The failures that another attempt answered, oldest first. */
  recoveries?: Recovery[]
  /** Training: how the attempt that runs was made smaller for want of memory. */
  relief?: MemoryRung
  /** Training: nodes with bad hardware, on which it should not run any more. */
  avoidNodes?: string[]
}

/** Answer of the status query; also the job's memo, so that it can be read while no worker runs. */
export interface JobStatus {
  stages: StageStatus[]
  /** Asked to pause: nothing runs, or what runs is saving its state. */
  paused?: boolean
  priority?: JobPriority
}

/** Workflow id of a job's training, a child workflow of its own. */
export function trainingWorkflowId(jobId: string): string {
  return `${jobId}.train`
}

/** Key of the memo that holds the JobStatus. */
export const STATUS_MEMO = 'status'
/** Key of the memo that holds the digest of the job's spec: the same command finds its own job again. */
export const SPEC_MEMO = 'specDigest'
/** Search attributes, all of type Keyword. */
export const JOB_ATTRIBUTE = 'TemperJob'
export const STAGE_ATTRIBUTE = 'TemperStage'
/** Value of the stage's attribute while the job waits for a person's word. */
export const STAGE_APPROVAL = 'approval'
/** Key of the training workflow's memo that holds its TrainingAttempts. */
export const ATTEMPTS_MEMO = 'attempts'

/** How often training has been begun, and why it was begun again. */
export interface TrainingAttempts {
  attempts: number
  failure?: Failure
  failures: FailureCounts
  recoveries?: Recovery[]
  relief?: MemoryRung
  /** Nodes with bad hardware: this job's training should run elsewhere. */
  avoidNodes?: string[]
}
