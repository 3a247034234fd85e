import type { V1ObjectMeta } from '@kubernetes/client-node'
import type { JobPriority } from '../workflows/job.ts'
import type { Decision } from '../src/stages/decision.ts'
import { API_VERSION, type FineTuneDocument } from '../src/spec/fine-tune.ts'

const [group = '', version = ''] = API_VERSION.split('/')
export const GROUP = group
export const VERSION = version
export const KIND = 'FineTune'
export const PLURAL = 'finetunes'

/** A FineTune as the API server holds it. */
export interface FineTuneResource {
  apiVersion: string
  kind: string
  metadata: V1ObjectMeta & { name: string; namespace: string; uid: string }
  spec: FineTuneDocument['spec'] & {
    suspend?: boolean
    /** Name of the fleet to train on. */
    fleet?: string
    priority?: JobPriority
    budget?: Budget
    approval?: ApprovalAnswer
  }
  status?: FineTuneStatus
}

/** A person's answer to `publish.approval: required`; kept until the job asks. */
export interface ApprovalAnswer {
  decision: Decision['answer']
  by?: string
  comment?: string
}

/** What a job's training may use up before it is paused. */
export interface Budget {
  /** Seconds that its training holds a machine, times the GPUs of it. */
  gpuSeconds?: number
  /** In the currency of the fleets' pricePerHour. */
  cost?: number
  /** Failed attempts of training, of whatever kind. */
  retries?: number
}

export type ConditionType =
  | 'Complete'
  | 'Failed'
  | 'Suspended'
  | 'OverBudget'
  | 'Recovering'
  | 'Waiting'
  | 'TemporalReachable'
  | 'StoreReachable'

/** Reason of the condition Waiting while a person is asked. */
export const WAITS_FOR_APPROVAL = 'WaitingForApproval'

export interface Condition {
  type: ConditionType
  status: 'True' | 'False'
  observedGeneration: number
  /** RFC 3339: since when `status` is this one. */
  lastTransitionTime: string
  reason: string
  message: string
}

export interface StageReport {
  name: string
  state: string
  attempts: number
  startTime?: string
  completionTime?: string
  digest?: string
  message?: string
}

/** What the job's training has used up. */
export interface Spent {
  /** Of attempts that are over. */
  gpuSeconds: number
  /** Of the attempt that runs, by the time at which it was taken up. */
  attempt?: { startTime: string; gpuSeconds: number }
  /** As text: whole cents would lose a cheap fleet's minutes. */
  cost?: string
}

export interface Recovery {
  stage: string
  attempt: number
  kind: string
  evidence: string
  time: string
  stepsLost?: number
  gpuSecondsLost?: string
}

/** Its schema in the cluster is k8s/crd/status-schema.ts. */
export interface FineTuneStatus {
  observedGeneration: number
  workflowId?: string
  stage?: string
  startTime?: string
  completionTime?: string
  conditions: Condition[]
  stages?: StageReport[]
  progress?: {
    percent?: number
    estimatedRemainingSeconds?: number
    lastUpdatedTime: string
    metrics: { name: string; value: string }[]
  }
  recoveries?: Recovery[]
  spent?: Spent
  /** Where the job has asked a person. */
  approval?: {
    /** Since when it asks. */
    since: string
    /** When the spec's answer was first passed on. */
    passedOnTime?: string
    decision?: Decision['answer']
    by?: string
    comment?: string
    /** When it was answered. */
    time?: string
  }
  /** Where the stage runs. */
  worker?: { pod: string; node?: string }
  artifacts?: { stage: string; digest: string }[]
  published?: string
}
