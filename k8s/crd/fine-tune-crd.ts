import { MAX_BY, MAX_COMMENT } from '../../src/stages/decision.ts'
import { schemaAt } from '../../src/spec/json-schema.ts'
import { KIND, PLURAL } from '../fine-tune-resource.ts'
import { column, customResourceDefinition } from './custom-resource-definition.ts'
import { fleetField } from './schema-parts.ts'
import { statusSchema } from './status-schema.ts'
import { type StructuralSchema, structuralSchema } from './structural-schema.ts'

/** Fields that say what is made; whoever changes one wants another job. */
const FIXED = ['model', 'data', 'train', 'eval', 'merge', 'quantize', 'publish', 'fleet']

/** What the spec has on a cluster only. */
const CLUSTER_FIELDS: Record<string, StructuralSchema> = {
  suspend: {
    type: 'boolean',
    description:
      'true: the job saves a checkpoint and stops, and holds no GPU; false: it goes on from there. Default: false.',
  },
  fleet: fleetField,
  priority: {
    type: 'object',
    description:
      'Which of the jobs that wait goes first, as Temporal names it. May change while the job runs.',
    properties: {
      priorityKey: {
        type: 'integer',
        minimum: 1,
        maximum: 5,
        description: '1 goes first, 5 last. Default: 3.',
      },
      fairnessKey: {
        type: 'string',
        maxLength: 64,
        description: 'Jobs of one key, such as a team, take turns with those of the others.',
      },
      fairnessWeight: {
        type: 'number',
        minimum: 0.001,
        maximum: 1000,
        description: 'How many turns the key has for one of another. Default: 1.',
      },
    },
  },
  approval: {
    type: 'object',
    description:
      'The answer of a person where publish.approval is required. May come before the job asks, and change until it was answered.',
    required: ['decision'],
    properties: {
      decision: {
        type: 'string',
        enum: ['approved', 'rejected'],
        description: 'approved: the job publishes; rejected: it ends, and what it has made stays.',
      },
      by: {
        type: 'string',
        maxLength: MAX_BY,
        description: 'Who says so, for the record. Nobody checks it: the audit log of the API server knows.',
      },
      comment: { type: 'string', maxLength: MAX_COMMENT, description: 'Why, for the record.' },
    },
  },
  budget: {
    type: 'object',
    description:
      'What training may use up; then the job is paused with its state saved, until the budget is raised. May change while the job runs.',
    properties: {
      gpuSeconds: {
        type: 'number',
        minimum: 0,
        description: 'Seconds that training holds a machine, times its GPUs (1 for a machine without).',
      },
      cost: {
        type: 'number',
        minimum: 0,
        description: 'By the pricePerHour of the fleet.',
      },
      retries: {
        type: 'integer',
        minimum: 0,
        description: 'Failed attempts of training, of whatever kind.',
      },
    },
  },
}

const hasAny = (...names: string[]) => names.map((name) => `has(self.${name})`).join(' || ')

/** Rules between fields, where the API server can count their cost; the others the controller checks (src/spec). */
const RULES: { at: readonly string[]; rule: string; message: string }[] = [
  {
    at: ['model'],
    rule: "!has(self.revision) || self.source.startsWith('hf://') || self.source.startsWith('ms://')",
    message: 'revision is only for a model of the hub (hf://owner/name)',
  },
  {
    at: ['data', 'columns'],
    rule: `[${hasAny('instruction', 'input', 'output')}, ${hasAny('prompt', 'completion')}, ${hasAny('messages')}].filter(given, given).size() <= 1`,
    message:
      'columns must belong to one format: instruction, input, output; or prompt, completion; or messages',
  },
  {
    at: ['train'],
    rule: '!has(self.warmupSteps) || !has(self.maxSteps) || self.maxSteps == 0 || self.warmupSteps < self.maxSteps',
    message: 'warmupSteps must be below maxSteps; the rate would never reach learningRate',
  },
]

/** Lists in which nothing may be twice. */
const SETS = [
  ['data', 'train'],
  ['data', 'eval'],
  ['quantize', 'formats'],
]

/** The CustomResourceDefinition of FineTune, generated from the schema of src/spec. */
export function fineTuneCrd(): object {
  return customResourceDefinition({
    kind: KIND,
    plural: PLURAL,
    shortName: 'ft',
    columns: [
      column('Stage', 'string', '.status.stage'),
      column('Progress', 'integer', '.status.progress.percent'),
      column('Loss', 'string', '.status.progress.metrics[?(@.name=="loss")].value'),
      column('Age', 'date', '.metadata.creationTimestamp'),
    ],
    description: 'A fine-tune: base model, rows, training, exports.',
    spec: specSchema(),
    status: statusSchema,
    validations: [
      {
        rule: "!has(self.spec.approval) || (has(self.spec.publish) && has(self.spec.publish.approval) && self.spec.publish.approval == 'required')",
        message: 'spec.approval is the answer to publish.approval: required; this job asks nobody',
      },
      {
        rule: `!has(self.spec.approval) || !has(oldSelf.status) || !has(oldSelf.status.approval) || !has(oldSelf.status.approval.decision) || (has(oldSelf.spec.approval) && self.spec.approval == oldSelf.spec.approval)`,
        message: 'the job was answered, see status.approval; spec.approval changes nothing any more',
      },
      {
        rule: `!has(oldSelf.status) || !has(oldSelf.status.workflowId) || (${FIXED.map(unchanged).join(' && ')})`,
        message: `the job was started: only suspend, priority, budget and approval may change; delete it and create another to change ${FIXED.join(', ')}`,
      },
    ],
  })
}

function unchanged(field: string): string {
  const [now, before] = [`self.spec.${field}`, `oldSelf.spec.${field}`]
  return `has(${now}) == has(${before}) && (!has(${now}) || ${now} == ${before})`
}

function specSchema(): StructuralSchema {
  const spec = structuralSchema(schemaAt(['spec']) ?? {})
  Object.assign(properties(spec), CLUSTER_FIELDS)
  for (const { at, ...rule } of RULES) schemaOf(spec, at)['x-kubernetes-validations'] = [rule]
  for (const path of SETS) schemaOf(spec, path)['x-kubernetes-list-type'] = 'set'
  return spec
}

function schemaOf(schema: StructuralSchema, path: readonly string[]): StructuralSchema {
  let node = schema
  for (const name of path) {
    const inner = properties(node)[name]
    if (inner === undefined) throw new Error(`the spec has no ${path.join('.')}`)
    node = inner
  }
  return node
}

const properties = (schema: StructuralSchema) => schema['properties'] as Record<string, StructuralSchema>
