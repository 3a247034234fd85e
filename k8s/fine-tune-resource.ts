import type { V1ObjectMeta } from '@kubernetes/client-node'
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
  }
  status?: FineTuneStatus
}

export type ConditionType =
  'Complete' | 'Failed' | 'Suspended' | 'Recovering' | 'Waiting' | 'TemporalReachable'

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
  artifacts?: { stage: string; digest: string }[]
  published?: string
}
