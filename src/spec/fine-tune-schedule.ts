import { z } from 'zod'
import { cronProblem } from './cron.ts'
import { API_VERSION, type FineTuneSpec, fineTuneSchema, isLocalPath, S3_SOURCE } from './fine-tune.ts'

/**
 * A model that is retrained by the clock when new rows have arrived: the second kind of document. What is trained is the spec
 * of a FineTune; around it stand when, on what condition, and what a new model has to beat.
 */

/** Metrics that an evaluation produces for every row, with the direction that is better. */
export const GATE_METRICS = { loss: 'lower', perplexity: 'lower', tokenAccuracy: 'higher' } as const
export type GateMetric = keyof typeof GATE_METRICS

/** A year: a longer jitter or catch-up is a typing error. */
const MAX_SECONDS = 366 * 86_400
const MAX_HOURS = 10 * 366 * 24
const MAX_NOTIFICATIONS = 16
const MAX_SOURCES = 1000

const isTimeZone = (name: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

const cron = z
  .string()
  .superRefine((line, context) => {
    const problem = cronProblem(line, new Date())
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })
  .meta({
    description:
      'When, as a cron line of 5 fields; a year may follow, and then seconds may stand before (7 fields). Day of month and day of week must both match.',
    examples: ['0 2 * * *'],
  })

const schedule = z
  .strictObject({
    cron,
    timeZone: z
      .string()
      .refine(isTimeZone, 'must be a time zone of the IANA list, such as Europe/Zurich or UTC')
      .default('UTC')
      .describe('Time zone of the cron line, by its IANA name.'),
    jitterSeconds: z
      .number()
      .min(0)
      .max(MAX_SECONDS)
      .default(0)
      .describe('Each start is delayed by a random time of up to so many seconds.'),
    overlapPolicy: z
      .enum(['skip', 'bufferOne', 'bufferAll', 'cancelOther', 'terminateOther'])
      .default('skip')
      .describe(
        'What happens when a night is due while the one before still runs. Two at once are not offered: both would retrain one name.',
      ),
    catchupWindowSeconds: z
      .number()
      .min(10)
      .max(MAX_SECONDS)
      .default(3600)
      .describe('Nights missed while the server was down are made up for if they are no older.'),
    pauseOnFailure: z.boolean().default(false).describe('true: a failed night pauses the schedule.'),
  })
  .meta({ description: 'When a night begins.', examples: [{ cron: '0 2 * * *' }] })

const newData = z
  .strictObject({
    minNewRows: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .default(1)
      .describe('Fewer new rows than this, and the night is skipped; they count for the next.'),
    maxAgeHours: z
      .exactOptional(z.number().gt(0).max(MAX_HOURS))
      .meta({ description: 'After so many hours it is trained also without new rows.', examples: [168] }),
    onShrink: z
      .enum(['skip', 'train'])
      .default('skip')
      .describe(
        'What happens when rows have vanished from a source. skip: nothing is trained until they are back; train: on what is left.',
      ),
  })
  .prefault({})
  .describe('Which change of the sources is worth a training.')

const gate = z
  .strictObject({
    metric: z
      .enum(Object.keys(GATE_METRICS) as [GateMetric, ...GateMetric[]])
      .default('loss')
      .describe('What decides, measured row by row on the frozen evaluation set.'),
    margin: z
      .number()
      .min(-100)
      .max(100)
      .default(0)
      .describe(
        'By how much the new model must be better, in units of the metric: the lower end of the interval must reach it. Negative: by how much it may be worse.',
      ),
    confidence: z
      .number()
      .gt(0.5)
      .lt(1)
      .default(0.95)
      .describe('Of the bootstrap interval of the difference.'),
  })
  .prefault({})
  .describe('What the new model has to do better than the published one to take its place.')

const start = z
  .strictObject({
    from: z
      .enum(['base', 'champion'])
      .default('base')
      .describe(
        'What a night trains. base: a fresh adapter, on all rows; champion: the published adapter goes on, on the rows that it has not learned and on replayed old ones.',
      ),
    replayFraction: z
      .number()
      .min(0)
      .max(1)
      .default(0.25)
      .describe(
        'champion: share of the old training rows that are trained on again, so that little is forgotten. Chosen by the hash of their content, others after every publication.',
      ),
  })
  .prefault({})
  .describe('What the training of a night begins with.')

const notification = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'must be an http or https address' })
    .max(2048)
    .describe('Where it is sent by POST.'),
  format: z
    .enum(['webhook', 'slack'])
    .default('webhook')
    .describe('webhook: Standard Webhooks with the event types of OpenAI; slack: {"text": …}.'),
  secretVariable: z
    .exactOptional(z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'must be the name of an environment variable'))
    .describe(
      'Variable of the worker that holds the signing secret (whsec_…). The secret itself stands nowhere.',
    ),
  on: z
    .array(z.enum(['published', 'kept', 'skipped', 'failed', 'recovered']))
    .min(1)
    .default(['published', 'kept', 'failed', 'recovered'])
    .describe('Which ends of a night are told.'),
})

const jobSpec = fineTuneSchema.shape.spec
const source = z
  .string()
  .trim()
  .min(1)
  .max(4096)
  .refine(
    (text) => isLocalPath(text) || S3_SOURCE.test(text),
    'must be a path (relative to this document, or absolute) or s3://bucket/key, with a slash at its end for all objects below',
  )
const fineTune = jobSpec.extend({
  publish: jobSpec.shape.publish
    .unwrap()
    .extend({
      approval: z
        .enum(['none', 'required'])
        .refine(
          (approval) => approval === 'none',
          'must be none, since a night asks nobody: its gate decides. Where a person has to, run a FineTune with publish.approval required',
        )
        .default('none')
        .describe('Has no place in a schedule, where the gate decides.'),
    })
    .prefault({})
    .describe('Where the result goes.'),
  data: jobSpec.shape.data
    .extend({
      train: z
        .array(source)
        .min(1)
        .max(MAX_SOURCES)
        .meta({
          description:
            'Sources that may grow: files, or s3://bucket/key; with a slash at its end, a folder or prefix with all that is in it.',
          examples: [['s3://rows/support/']],
        }),
      eval: z
        .array(z.string())
        .refine(
          (files) => files.length === 0,
          'must be empty, since a schedule freezes an evaluation set of the rows that it holds out',
        )
        .default([])
        .describe('Has no place in a schedule, which holds out rows by the hash of their content.'),
    })
    .describe('The rows and what is done to them.'),
})

export const fineTuneScheduleSchema = z
  .strictObject({
    apiVersion: z.literal(API_VERSION).describe('Version of this document.'),
    kind: z.literal('FineTuneSchedule').describe('Kind of this document.'),
    metadata: fineTuneSchema.shape.metadata,
    spec: z
      .strictObject({
        schedule,
        newData,
        start,
        gate,
        notifications: z
          .array(notification)
          .max(MAX_NOTIFICATIONS)
          .default([])
          .describe('Who is told how a night ended.'),
        fineTune: fineTune.describe('The spec of the FineTune that a night runs.'),
      })
      .meta({ description: 'When, on what, and what is trained.' }),
  })
  .describe('A model that is retrained when new rows have arrived.')

type Parsed = z.output<typeof fineTuneScheduleSchema>['spec']
/** The spec with every default filled in. */
export type FineTuneScheduleSpec = Omit<Parsed, 'fineTune' | 'start'> & {
  /** A schedule that was created by an older Temper has none: its nights begin at the base. */
  start?: Parsed['start']
  fineTune: FineTuneSpec
}
export type Notification = Parsed['notifications'][number]
export type NightEvent = Notification['on'][number]
