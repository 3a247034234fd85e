import { dirname, resolve } from 'node:path'
import { resolveSchedulePaths } from '../src/spec/document-paths.ts'
import type { FineTuneScheduleSpec } from '../src/spec/fine-tune-schedule.ts'
import { parseFineTuneSchedule } from '../src/spec/parse-fine-tune-schedule.ts'
import { readDocument } from './read-job.ts'

/** A schedule's document, checked, with its paths made absolute. InputError with everything that is wrong with it. */
export async function readSchedule(file: string): Promise<{ name: string; spec: FineTuneScheduleSpec }> {
  const { name, spec } = parseFineTuneSchedule(await readDocument(file, 'FineTuneSchedule'), file)
  return { name, spec: resolveSchedulePaths(spec, dirname(resolve(file))) }
}
