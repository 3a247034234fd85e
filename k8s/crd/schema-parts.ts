import type { StructuralSchema } from './structural-schema.ts'

export const text = (description: string): StructuralSchema => ({ type: 'string', description })

export const whole = (description: string): StructuralSchema => ({
  type: 'integer',
  format: 'int64',
  description,
})

export const time = (description: string): StructuralSchema => ({
  type: 'string',
  format: 'date-time',
  description,
})

/** A list that server-side apply merges by one field of its items. */
export const list = (description: string, key: string, properties: object): StructuralSchema => ({
  type: 'array',
  description,
  items: { type: 'object', required: [key], properties },
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': [key],
})

/** Conditions by the conventions of Kubernetes' API. */
export const conditionList = (description: string): StructuralSchema =>
  list(description, 'type', {
    type: text('What is true or not.'),
    status: { type: 'string', enum: ['True', 'False', 'Unknown'], description: 'Whether it is.' },
    observedGeneration: whole('metadata.generation that it is about.'),
    lastTransitionTime: time('Since when the status is this one.'),
    reason: text('One word, for programs.'),
    message: text('For people.'),
  })

/** Which fleet trains: a field that both kinds have on a cluster only. */
export const fleetField: StructuralSchema = {
  type: 'string',
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  description: 'The fleet of machines to train on, by its name in the chart. Default: the first one.',
}
