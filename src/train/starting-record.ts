import { InputError } from '../errors.ts'
import type { LogLine } from './child-protocol.ts'
import type { NamedRows } from './batches.ts'
import type { Engine } from './engine.ts'
import { differences, type Environment } from './environment.ts'
import { startingLossScale } from './loss-scale.ts'
import type { TrainSettings } from './train-settings.ts'
import type { TrainingRecord, TrainingState } from './training-state.ts'

interface StartingJob {
  engine: Engine
  rows: NamedRows
  settings: Pick<TrainSettings, 'precision'>
  environment: Environment
  resumeFrom: TrainingState | undefined
  precision?: TrainingRecord['precision']
  log: (line: LogLine) => void
}

/** The record to go on from; puts a resumed state's adapter into the engine. */
export function startingRecord(
  { engine, rows, settings, environment, resumeFrom, precision, log }: StartingJob,
  schedule: TrainingRecord['schedule'],
): TrainingRecord {
  if (!resumeFrom)
    return {
      version: 3,
      step: 0,
      trainedTokens: 0,
      supervisedTokens: 0,
      seconds: 0,
      unflushed: [],
      metrics: [],
      schedule,
      ...(settings.precision === 'fp16' && { lossScale: startingLossScale() }),
      rows: rows.count,
      environment,
      ...(precision && { precision }),
      exact: true,
      rescue: { recent: [], streak: 0, skipped: [], rollbacks: [] },
    }
  const { probe: _, ...record } = structuredClone(resumeFrom.record)
  if (record.rows !== rows.count || record.schedule.totalSteps !== schedule.totalSteps)
    throw new InputError(
      `The checkpoint of step ${record.step} belongs to a job of ${record.rows} rows and ${record.schedule.totalSteps} steps, not of ${rows.count} and ${schedule.totalSteps}; start this job under another name`,
    )
  for (const [name, { data }] of resumeFrom.adapter) engine.trained.tensors.get(name)?.data.set(data)
  const differ = differences(record.environment, environment)
  log({
    level: 'info',
    message: 'resumed',
    fields: { step: record.step, exact: record.exact && differ.length === 0 },
  })
  if (differ.length > 0) {
    record.exact = false
    log({
      level: 'warn',
      message: `resumed in another environment (${differ.join(', ')}): the result will differ in its last bits from an undisturbed run`,
      fields: { was: record.environment, is: environment },
    })
  }
  record.environment = environment
  return record
}
