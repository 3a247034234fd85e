import { InputError } from '../errors.ts'
import { type ArtifactRef, type Manifest, findArtifact, openArtifact } from '../store/artifact.ts'
import type { StageContext } from './stage-context.ts'

/** The files of an earlier stage in a local folder, verified. InputError where somebody has deleted the artifact. */
export async function openInput<S>(
  context: StageContext,
  ref: ArtifactRef,
): Promise<{ dir: string; manifest: Manifest<S> }> {
  const manifest = await findArtifact<S>(context.store, ref)
  if (manifest === undefined) {
    throw new InputError(
      `The artifact ${ref.stage}/${ref.digest} is gone from ${context.store.uri}: run the job again, it will be made anew.`,
    )
  }
  const { dir } = await openArtifact(context.store, manifest, context.artifactCache)
  return { dir, manifest }
}
