import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { InputError } from '../errors.ts'
import { type ArtifactRef, commitArtifact, findArtifact, stageDigest } from '../store/artifact.ts'
import type { Lease } from '../store/lease.ts'
import type { StageContext } from './stage-context.ts'
import type { StageOutcome } from './stage-outcome.ts'

/** What an artifact is made from and how: the parts of its digest. */
export interface StageRecipe {
  stage: string
  /** Raised whenever the stage would make other bytes from the same inputs and settings. */
  version: number
  /** Name of each input to its digest. */
  inputs: Record<string, string>
  /** The stage's part of the spec, every `auto` resolved. */
  settings: unknown
}

export type MadeArtifact<S extends object> = StageOutcome<S> & { ref: ArtifactRef }

/** To be filled in by work that was done under a lease: a zombie then commits nothing. */
interface CommitRights {
  lease?: Lease
}

/**
 * Makes an artifact unless it is there: looks it up by digest, else lets `work` fill a scratch folder with its files and
 * commits them, the manifest last. If another attempt commits the same artifact first, that one counts.
 */
export async function runStage<S extends object>(
  context: StageContext,
  recipe: StageRecipe,
  work: (outDir: string, digest: string, commit: CommitRights) => Promise<S>,
): Promise<MadeArtifact<S>> {
  const { store, signal } = context
  const digest = stageDigest(recipe)
  const ref: ArtifactRef = { stage: recipe.stage, digest }
  const found = await findArtifact<S>(store, ref)
  if (found !== undefined) {
    context.log({ level: 'info', message: 'skipped: the artifact is there already', fields: { ...ref } })
    return { ref, skipped: true, summary: found.summary }
  }
  const outDir = join(context.scratchDir, 'out')
  try {
    await mkdir(outDir, { recursive: true })
    const commit: CommitRights = {}
    const summary = await work(outDir, digest, commit)
    signal.throwIfAborted()
    const attempt = context.attemptName
    const manifest = await commitArtifact(store, { ...recipe, digest, attempt }, outDir, summary, commit)
    context.log({ level: 'info', message: 'committed', fields: { ...ref, files: manifest.files.length } })
    return { ref, skipped: false, summary: manifest.summary }
  } catch (error) {
    throw diskFull(error, context.scratchDir) ?? error
  }
}

/** A full disk is the user's to mend, and nothing is lost by it: artifacts appear whole or not at all. */
function diskFull(error: unknown, folder: string): InputError | undefined {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return undefined
  return new InputError(
    `The disk that holds ${folder} is full: free some space and run the same command again, finished stages are kept.`,
    { cause: error },
  )
}
