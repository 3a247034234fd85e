import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { acquireLease } from '../store/lease.ts'
import { publishVersion, versionFolder } from '../store/model-registry.ts'
import type { FineTuneArtifacts } from './fine-tune-summary.ts'
import { openInput } from './open-input.ts'
import type { ResolvedModel } from './resolve-model.ts'
import type { StageContext } from './stage-context.ts'
import type { StageOutcome } from './stage-outcome.ts'

export interface PublishInput {
  jobId: string
  attempt: number
  name: string
  /** Names this act of publishing: a second attempt at it makes no second version. */
  publication: string
  base: ResolvedModel
  artifacts: FineTuneArtifacts
}

export interface PublishSummary {
  name: string
  version: number
  /** Folder of the version, or its address in a remote store. */
  place: string
}

export type PublishOutcome = StageOutcome<PublishSummary>

/**
 * Puts adapter, quantised files, evaluation and model card into the store as the name's next version, and moves the name to it.
 * The merged model stays where it is, an artifact that never changes; artifacts.json says where.
 */
export async function publish(context: StageContext, input: PublishInput): Promise<PublishOutcome> {
  const { jobId, name, publication, base, artifacts } = input
  const { store, signal } = context
  const folder = join(context.scratchDir, 'out')
  await mkdir(folder, { recursive: true })
  for (const ref of [artifacts.adapter, artifacts.quantized, artifacts.evaluation]) {
    if (ref === undefined) continue
    const { dir, manifest } = await openInput(context, ref)
    for (const file of manifest.files) await copyFile(join(dir, file.name), join(folder, file.name))
  }
  signal.throwIfAborted()
  const lease = await acquireLease(store, jobId, context.attemptName)
  const { source, revision, digest } = base
  const { manifest } = await publishVersion(
    store,
    name,
    {
      contentKey: publication,
      attempt: context.attemptName,
      folder,
      summary: { base: { source, digest, ...(revision !== undefined && { revision }) }, artifacts },
    },
    { lease, signal },
  )
  return {
    skipped: false,
    summary: { name, version: manifest.version, place: versionFolder(store, manifest) },
  }
}
