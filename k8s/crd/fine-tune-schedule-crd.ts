import { fineTuneScheduleJsonSchema, schemaAt } from '../../src/spec/json-schema.ts'
import { SCHEDULE_KIND, SCHEDULE_PLURAL } from '../fine-tune-schedule-resource.ts'
import { column, customResourceDefinition } from './custom-resource-definition.ts'
import { conditionList, fleetField, text, time, whole } from './schema-parts.ts'
import { type StructuralSchema, structuralSchema } from './structural-schema.ts'

/** What the spec has on a cluster only. */
const CLUSTER_FIELDS: Record<string, StructuralSchema> = {
  suspend: {
    type: 'boolean',
    description: 'true: no night begins; one that runs goes on. Default: false.',
  },
  fleet: fleetField,
}

/** The status that the controller writes; its TypeScript is FineTuneScheduleStatus. */
const statusSchema: StructuralSchema = {
  type: 'object',
  description: 'What the schedule does. Written by the controller only.',
  properties: {
    observedGeneration: whole('metadata.generation that this status is about.'),
    scheduleId: text("The schedule's id in Temporal."),
    model: text('The name that its nights publish.'),
    nextTime: time('When the next night begins.'),
    lastNight: {
      type: 'object',
      description: 'The night that began last.',
      properties: {
        workflowId: text('Its workflow in Temporal.'),
        time: time('When it began.'),
        end: text('running, published, kept, skipped, failed or cancelled.'),
        why: text('One sentence.'),
        version: whole('The version that it published.'),
      },
    },
    conditions: conditionList('Ready: nights begin by the clock. TemporalReachable.'),
  },
}

/** The CustomResourceDefinition of FineTuneSchedule, generated from the schema of src/spec. */
export function fineTuneScheduleCrd(): object {
  const spec = structuralSchema(schemaAt(['spec'], fineTuneScheduleJsonSchema()) ?? {})
  Object.assign(spec['properties'] as object, CLUSTER_FIELDS)
  return customResourceDefinition({
    kind: SCHEDULE_KIND,
    plural: SCHEDULE_PLURAL,
    shortName: 'fts',
    columns: [
      column('Cron', 'string', '.spec.schedule.cron'),
      column('Next', 'date', '.status.nextTime'),
      column('Last', 'string', '.status.lastNight.end'),
      column('Age', 'date', '.metadata.creationTimestamp'),
    ],
    description: 'A model that is retrained when new rows have arrived.',
    spec,
    status: statusSchema,
  })
}
