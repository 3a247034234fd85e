import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { cleanRows, type CleanSummary } from '../data/clean-rows.ts'
import { InputError } from '../errors.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { type MadeArtifact, runStage } from './run-stage.ts'
import type { StageContext } from './stage-context.ts'

/** Raised whenever cleaning would write other bytes for the same rows and settings. */
const VERSION = 1

export interface CleanInput {
  jobId: string
  attempt: number
  data: FineTuneSpec['data']
}

export type CleanOutcome = MadeArtifact<CleanSummary>

/** Rows of the sources, cleaned and split. Known by the bytes and the names of the files, since rows are named by them. */
export async function clean(context: StageContext, { data }: CleanInput): Promise<CleanOutcome> {
  const { format, columns, clean: rules, evalFraction } = data
  const settings = { format, ...(columns && { columns }), clean: rules, evalFraction }
  const inputs: Record<string, string> = {}
  for (const [kind, paths] of Object.entries({ train: data.train, eval: data.eval })) {
    for (const [index, path] of paths.entries())
      inputs[`${kind}/${index}/${basename(path)}`] = await digestOfFile(path, context.signal)
  }
  return runStage(context, { stage: 'clean', version: VERSION, inputs, settings }, (outDir) =>
    cleanRows({
      sources: data.train.map(sourceFile),
      evalSources: data.eval.map(sourceFile),
      settings,
      outDir,
      signal: context.signal,
      progress: ({ rows, of }) =>
        context.progress({ phase: 'row', done: rows, ...(of !== undefined && { total: of }) }),
    }),
  )
}

function sourceFile(path: string): { name: string; path: string } {
  return { name: basename(path), path }
}

async function digestOfFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path), hash, { signal })
  } catch (error) {
    signal.throwIfAborted()
    throw unreadable(path, error as NodeJS.ErrnoException)
  }
  return hash.digest('hex')
}

function unreadable(path: string, error: NodeJS.ErrnoException): Error {
  switch (error.code) {
    case 'ENOENT':
      return new InputError(`${path}: there is no such file; check spec.data.`, { cause: error })
    case 'EISDIR':
      return new InputError(`${path}: is a folder; name a file in spec.data.`, { cause: error })
    case 'EACCES':
    case 'EPERM':
      return new InputError(`${path}: may not be read by this user; check its permissions.`, { cause: error })
    case undefined:
    default:
      return error
  }
}
