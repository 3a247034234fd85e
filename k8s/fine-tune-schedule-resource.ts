import type { V1ObjectMeta } from '@kubernetes/client-node'

export const SCHEDULE_KIND = 'FineTuneSchedule'
export const SCHEDULE_PLURAL = 'finetuneschedules'

/** A FineTuneSchedule as the API server holds it. */
export interface FineTuneScheduleResource {
  apiVersion: string
  kind: string
  metadata: V1ObjectMeta & { name: string; namespace: string; uid: string }
  spec: Record<string, unknown> & {
    suspend?: boolean
    /** Name of the fleet to train on. */
    fleet?: string
  }
  status?: FineTuneScheduleStatus
}

export interface ScheduleCondition {
  type: 'Ready' | 'TemporalReachable'
  status: 'True' | 'False'
  observedGeneration: number
  /** RFC 3339: since when `status` is this one. */
  lastTransitionTime: string
  reason: string
  message: string
}

export interface LastNight {
  workflowId: string
  /** RFC 3339 */
  time: string
  /** running, or as its record has it: published, kept, skipped, failed; cancelled. */
  end: string
  why?: string
  version?: number
}

/** Its schema in the cluster is in k8s/crd/fine-tune-schedule-crd.ts. */
export interface FineTuneScheduleStatus {
  observedGeneration: number
  scheduleId?: string
  model?: string
  nextTime?: string
  lastNight?: LastNight
  conditions: ScheduleCondition[]
}
