import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Every metric of the worker, in one table: docs/metrics.md is held against it. */
export const METRICS = {
  stageAttempts: {
    kind: 'counter',
    name: 'temper_stage_attempts_total',
    help: 'Attempts of a stage that have ended here, by how: done, failed, cancelled or stopped.',
    labels: ['stage', 'state'],
  },
  stagesRunning: {
    kind: 'gauge',
    name: 'temper_stages_running',
    help: 'Attempts that run here now.',
    labels: ['stage'],
  },
  failures: {
    kind: 'counter',
    name: 'temper_failures_total',
    help: 'Failed attempts by kind of failure, as the workflow decides by it.',
    labels: ['stage', 'kind'],
  },
  recoveries: {
    kind: 'counter',
    name: 'temper_recoveries_total',
    help: 'Attempts that ended well after one that had failed, by the kind of that failure.',
    labels: ['stage', 'kind'],
  },
  queueWait: {
    kind: 'histogram',
    name: 'temper_queue_wait_seconds',
    help: 'From the moment an attempt was scheduled to its start here.',
    labels: ['stage'],
    buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400],
  },
  steps: {
    kind: 'counter',
    name: 'temper_training_steps_total',
    help: 'Optimizer steps done here, those that were lost again included.',
    labels: [],
  },
  tokens: {
    kind: 'counter',
    name: 'temper_training_tokens_total',
    help: 'Tokens trained here, padding not counted.',
    labels: [],
  },
  loss: {
    kind: 'gauge',
    name: 'temper_training_loss',
    help: 'Mean loss of the last step of the job that trains here.',
    labels: ['job'],
  },
  stepSeconds: {
    kind: 'histogram',
    name: 'temper_training_step_seconds',
    help: 'Time of a step; of several between two reports, their mean.',
    labels: [],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300],
  },
  checkpointAge: {
    kind: 'gauge',
    name: 'temper_checkpoint_age_seconds',
    help: 'Since the newest checkpoint of the job that trains here, or since its attempt began.',
    labels: ['job'],
  },
  checkpointBytes: {
    kind: 'gauge',
    name: 'temper_checkpoint_bytes',
    help: 'Size of the newest checkpoint of the job that trains here.',
    labels: ['job'],
  },
  checkpointSeconds: {
    kind: 'histogram',
    name: 'temper_checkpoint_seconds',
    help: 'Time that a checkpoint took to be safe in the store, beside training.',
    labels: [],
    buckets: [0.1, 0.5, 1, 2, 5, 15, 60, 300, 900],
  },
  trainingSeconds: {
    kind: 'counter',
    name: 'temper_training_seconds_total',
    help: 'Seconds of this machine spent on training (GPU-seconds where it has a GPU), by use: useful, or lost with a failed attempt (one whose worker died is counted by the next).',
    labels: ['use'],
  },
} as const satisfies Record<string, MetricDefinition>

export interface MetricDefinition {
  kind: 'counter' | 'gauge' | 'histogram'
  name: string
  help: string
  labels: readonly string[]
  buckets?: readonly number[]
}

type Made<D extends MetricDefinition> = D['kind'] extends 'counter'
  ? Counter
  : D['kind'] extends 'gauge'
    ? Gauge
    : Histogram
export type Metrics = { [K in keyof typeof METRICS]: Made<(typeof METRICS)[K]> }

/** The metrics of one worker, in a registry of their own. */
export function createMetrics(): { registry: Registry; metrics: Metrics } {
  const registry = new Registry()
  const made = Object.entries(METRICS).map(([key, definition]) => [key, create(definition, registry)])
  return { registry, metrics: Object.fromEntries(made) as Metrics }
}

function create(definition: MetricDefinition, registry: Registry): Counter | Gauge | Histogram {
  const { kind, name, help, labels, buckets } = definition
  const configuration = { name, help, labelNames: [...labels], registers: [registry] }
  switch (kind) {
    case 'counter':
      return new Counter(configuration)
    case 'gauge':
      return new Gauge(configuration)
    case 'histogram':
      return new Histogram({ ...configuration, ...(buckets && { buckets: [...buckets] }) })
  }
}
