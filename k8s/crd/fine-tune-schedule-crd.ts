import { fineTuneScheduleJsonSchema, schemaAt } from '../../src/spec/json-schema.ts'
import { GROUP, VERSION } from '../fine-tune-resource.ts'
import { SCHEDULE_KIND, SCHEDULE_PLURAL } from '../fine-tune-schedule-resource.ts'
import { type StructuralSchema, structuralSchema } from './structural-schema.ts'

const text = (description: string): StructuralSchema => ({ type: 'string', description })
const whole = (description: string): StructuralSchema => ({ type: 'integer', format: 'int64', description })
const time = (description: string): StructuralSchema => ({ type: 'string', format: 'date-time', description })
const column = (name: string, type: string, jsonPath: string) => ({ name, type, jsonPath })

/** What the spec has on a cluster only. */
const CLUSTER_FIELDS: Record<string, StructuralSchema> = {
  suspend: {
    type: 'boolean',
    description: 'true: no night begins; one that runs goes on. Default: false.',
  },
  fleet: {
    type: 'string',
    pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
    description: 'The fleet of machines to train on, by its name in the chart. Default: the first one.',
  },
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
    conditions: {
      type: 'array',
      description: 'Ready: nights begin by the clock. TemporalReachable.',
      items: {
        type: 'object',
        required: ['type'],
        properties: {
          type: text('What is true or not.'),
          status: { type: 'string', enum: ['True', 'False', 'Unknown'], description: 'Whether it is.' },
          observedGeneration: whole('metadata.generation that it is about.'),
          lastTransitionTime: time('Since when the status is this one.'),
          reason: text('One word, for programs.'),
          message: text('For people.'),
        },
      },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
  },
}

/** The CustomResourceDefinition of FineTuneSchedule, generated from the schema of src/spec. */
export function fineTuneScheduleCrd(): object {
  const spec = structuralSchema(schemaAt(['spec'], fineTuneScheduleJsonSchema()) ?? {})
  Object.assign(spec['properties'] as object, CLUSTER_FIELDS)
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${SCHEDULE_PLURAL}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind: SCHEDULE_KIND,
        listKind: `${SCHEDULE_KIND}List`,
        plural: SCHEDULE_PLURAL,
        singular: SCHEDULE_KIND.toLowerCase(),
        shortNames: ['fts'],
        categories: ['temper'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            column('Cron', 'string', '.spec.schedule.cron'),
            column('Next', 'date', '.status.nextTime'),
            column('Last', 'string', '.status.lastNight.end'),
            column('Age', 'date', '.metadata.creationTimestamp'),
          ],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: 'A model that is retrained when new rows have arrived.',
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                // A name becomes the published model's name, which is one label.
                metadata: { type: 'object', properties: { name: { type: 'string', maxLength: 63 } } },
                spec,
                status: statusSchema,
              },
            },
          },
        },
      ],
    },
  }
}
