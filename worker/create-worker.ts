import {
  OpenTelemetryActivityInboundInterceptor,
  makeWorkflowExporter,
} from '@temporalio/interceptors-opentelemetry'
import { type NativeConnection, Worker, type WorkflowBundleOption } from '@temporalio/worker'
import type { Activities } from '../activities/activities.ts'
import { CONTROL_QUEUE } from '../workflows/queues.ts'
import { type Observation, observeAttempts } from './observe-attempts.ts'
import type { Tracing } from './tracing.ts'

/**
 * A drained worker waits this long for the trainer's checkpoint: one micro-batch and the upload of the state, which the child's
 * parent ends itself after a minute.
 */
const SAVE_TIME = '90s'
/** CPU stages of several jobs overlap where they wait for a store; more of them only slow each other down. */
const CPU_STAGES_AT_ONCE = 4
/** Progress that a person watches is at most this old; a cancellation is noticed by the answer to a heartbeat. */
const HEARTBEAT_EVERY = '1s'
/** A workflow whose worker was killed is not held back for longer than this. */
const STICKY_PATIENCE = '3s'

export interface WorkerParts {
  connection: NativeConnection
  namespace: string
  bundle: WorkflowBundleOption
  activities: Activities
  observation: Observation
  tracing: Tracing
}

/** The worker of one queue. A machine trains one model at a time; the control queue takes several stages at once. */
export function createWorker(taskQueue: string, parts: WorkerParts): Promise<Worker> {
  return Worker.create({
    connection: parts.connection,
    namespace: parts.namespace,
    taskQueue,
    workflowBundle: parts.bundle,
    activities: parts.activities,
    interceptors: {
      activity: [
        (context) => ({ inbound: new OpenTelemetryActivityInboundInterceptor(context) }),
        (context) => ({ inbound: observeAttempts(context, parts.observation) }),
      ],
    },
    sinks: { exporter: makeWorkflowExporter(parts.tracing.processor, parts.tracing.resource) },
    maxConcurrentActivityTaskExecutions: taskQueue === CONTROL_QUEUE ? CPU_STAGES_AT_ONCE : 1,
    // Activities learn of a shutdown only after this time: they need all of theirs for the checkpoint.
    shutdownGraceTime: 0,
    shutdownForceTime: SAVE_TIME,
    maxHeartbeatThrottleInterval: HEARTBEAT_EVERY,
    defaultHeartbeatThrottleInterval: HEARTBEAT_EVERY,
    stickyQueueScheduleToStartTimeout: STICKY_PATIENCE,
  })
}
