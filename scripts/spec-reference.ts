import { format } from 'prettier'
import {
  fieldPaths,
  fineTuneJsonSchema,
  fineTuneScheduleJsonSchema,
  schemaAt,
} from '../src/spec/json-schema.ts'
import type { JsonSchema } from '../src/spec/json-schema.ts'

const HEAD = `# The FineTune document

One job is one document: a YAML (or JSON) file for the command line, the same everywhere else. This page is generated from the
schema in \`src/spec/fine-tune.ts\` by \`node scripts/generate-schema.ts\`, and so is \`schema/fine-tune.schema.json\`.

\`\`\`yaml
# yaml-language-server: $schema=./schema/fine-tune.schema.json
apiVersion: temper.dev/v1alpha1
kind: FineTune
metadata:
  name: support-bot
spec:
  model:
    source: hf://HuggingFaceTB/SmolLM2-135M-Instruct
  data:
    train: [rows.jsonl]
  train:
    numTrainEpochs: 2
    learningRate: 2e-4
\`\`\`

The first line gives completion and checks to editors with the YAML language server; it names the schema file relative to the document.
Paths in a document are relative to the folder that it lies in. Every error is reported at once, with its path and line. Everything
but \`model.source\` and \`data.train\` has a default.

`

const SCHEDULE_HEAD = `# The FineTuneSchedule document

A model that is retrained when new rows have arrived. [schedules.md](schedules.md) says what a night does; this page is generated from
\`src/spec/fine-tune-schedule.ts\` by \`node scripts/generate-schema.ts\`, and so is \`schema/fine-tune-schedule.schema.json\`.

\`\`\`yaml
# yaml-language-server: $schema=./schema/fine-tune-schedule.schema.json
apiVersion: temper.dev/v1alpha1
kind: FineTuneSchedule
metadata:
  name: support
spec:
  schedule:
    cron: 0 2 * * *
    timeZone: Europe/Zurich
  newData: { minNewRows: 50, maxAgeHours: 336 }
  gate: { metric: loss, margin: 0 }
  fineTune:
    model: { source: hf://HuggingFaceTB/SmolLM2-135M-Instruct }
    data: { train: [s3://rows/support/] }
\`\`\`

\`spec.fineTune\` is the spec of a [FineTune](fine-tune.md), with two differences: \`data.train\` names sources that may grow (files, folders,
\`s3://bucket/key\`, \`s3://bucket/prefix/\`), and \`data.eval\` stays empty, since the schedule freezes an evaluation set of its own.

`

/** docs/fine-tune.md: every field of the document with its type, default and description. */
export function specReference(): Promise<string> {
  return page(HEAD, fieldPaths(), fineTuneJsonSchema())
}

/** docs/fine-tune-schedule.md: the fields around the FineTune. */
export function scheduleReference(): Promise<string> {
  const root = fineTuneScheduleJsonSchema()
  const own = fieldPaths(root).filter((path) => path[1] !== 'fineTune')
  return page(SCHEDULE_HEAD, own, root)
}

function page(head: string, paths: readonly string[][], root: JsonSchema): Promise<string> {
  const rows = paths.flatMap((path) => {
    const schema = schemaAt(path, root)
    if (schema === undefined || schema.properties !== undefined) return []
    return `| \`${path.join('.')}\` | ${cell(typeOf(schema))} | ${cell(defaultOf(schema))} | ${cell(schema.description ?? '')} |`
  })
  const table = ['| Field | Type | Default | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
  return format(`${head}${table}\n`, { parser: 'markdown', printWidth: 110 })
}

function typeOf(schema: JsonSchema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(' or ')
  if (schema.const !== undefined) return `\`${schema.const}\``
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ')
  if (schema.items !== undefined) return `list of ${typeOf(schema.items)}`
  if (schema.properties !== undefined) return `{${Object.keys(schema.properties).join(', ')}}`
  const names: Record<string, string> = { string: 'text', boolean: 'true, false', object: 'names to texts' }
  return (
    names[schema.type ?? ''] ?? `${schema.type === 'integer' ? 'whole number' : 'number'}${rangeOf(schema)}`
  )
}

function rangeOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): string {
  const bounds = [
    minimum !== undefined && `≥ ${minimum}`,
    exclusiveMinimum !== undefined && `> ${exclusiveMinimum}`,
    exclusiveMaximum !== undefined && `< ${exclusiveMaximum}`,
    maximum !== undefined && `≤ ${maximum}`,
  ]
  return bounds
    .filter((bound) => bound !== false)
    .map((bound) => ` ${bound}`)
    .join(',')
}

const defaultOf = ({ default: value }: JsonSchema): string =>
  value === undefined ? '' : `\`${JSON.stringify(value)}\``
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
