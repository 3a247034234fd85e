import { conditionList, list, text, time, whole } from './schema-parts.ts'
import type { StructuralSchema } from './structural-schema.ts'

/** The status that the controller writes; its TypeScript is FineTuneStatus in k8s/fine-tune-resource.ts. */
export const statusSchema: StructuralSchema = {
  type: 'object',
  description: 'What became of it. Written by the controller only.',
  properties: {
    observedGeneration: whole('metadata.generation that this status is about.'),
    workflowId: text(
      "The job's workflow in Temporal. There once the job was started; the spec is fixed then.",
    ),
    stage: text('The stage that runs, or queued, paused, suspended, complete, failed, rejected.'),
    startTime: time('When the job was started.'),
    completionTime: time('When the job ended.'),
    conditions: conditionList(
      'Complete, Failed, Suspended, and Temper’s own: OverBudget, Recovering, Waiting, TemporalReachable.',
    ),
    stages: list('The stages in their order.', 'name', {
      name: text('The stage.'),
      state: text(
        'waiting, running, retrying, paused, asking, done, skipped, failed, rejected or cancelled.',
      ),
      attempts: whole('How often it was begun.'),
      startTime: time('When it was first begun.'),
      completionTime: time('When it ended.'),
      digest: text('Its artifact in the store.'),
      message: text('Its last failure, or what it waits for.'),
    }),
    progress: {
      type: 'object',
      description: 'Of the stage that runs.',
      properties: {
        percent: whole('How much of the stage is done.'),
        estimatedRemainingSeconds: whole('Until the stage is done.'),
        lastUpdatedTime: time('When this was read.'),
        metrics: list('Numbers of the stage, as text.', 'name', {
          name: text('The metric.'),
          value: text('Its value.'),
        }),
      },
    },
    recoveries: {
      type: 'array',
      description: 'What went wrong and was mended without a person, oldest first.',
      'x-kubernetes-list-type': 'atomic',
      items: {
        type: 'object',
        properties: {
          stage: text('The stage that failed.'),
          attempt: whole('The attempt that failed.'),
          kind: text('Kind of failure, which decides what is done about it.'),
          evidence: text('How this is known.'),
          time: time('When it was noticed.'),
          stepsLost: whole('Optimizer steps that had to be done again.'),
          gpuSecondsLost: text('Seconds of GPU time that had to be spent again.'),
        },
      },
    },
    approval: {
      type: 'object',
      description: 'Where the job has asked a person whether it may publish.',
      properties: {
        since: time('Since when it asks.'),
        passedOnTime: time('When the answer of spec.approval was first passed on to the job.'),
        decision: text('approved or rejected, once it was answered.'),
        by: text('Who has answered, in their own words.'),
        comment: text('Why, in their own words.'),
        time: time('When it was answered.'),
      },
    },
    worker: {
      type: 'object',
      description: 'Where the stage runs.',
      properties: { pod: text('The worker’s pod.'), node: text('Its node.') },
    },
    spent: {
      type: 'object',
      description: 'What training has used up.',
      properties: {
        gpuSeconds: whole('GPU-seconds of attempts that are over.'),
        attempt: {
          type: 'object',
          description: 'The attempt that runs.',
          properties: {
            startTime: time('When a worker took it up.'),
            gpuSeconds: whole('GPU-seconds of it.'),
          },
        },
        cost: text('Of both, by the pricePerHour of the fleet.'),
      },
    },
    artifacts: list('What the stages have made, by digest.', 'stage', {
      stage: text('The stage.'),
      digest: text('The artifact’s digest: its folder in the store.'),
    }),
    published: text('name@version of the published model.'),
  },
}
