import { dirname } from 'node:path'
import { ADAPTER_CONFIG_FILE } from '../src/export/read-adapter.ts'
import type { FineTuneSummary } from '../src/stages/fine-tune-summary.ts'
import { type ArtifactRef, findArtifact } from '../src/store/artifact.ts'
import type { Store } from '../src/store/store.ts'

/** Where each artifact of a job lies, as a path or an s3:// address that can be handed to another program. */
export async function artifactPlaces(store: Store, result: FineTuneSummary): Promise<Record<string, string>> {
  const { adapter, merged, quantized, evaluation } = result.artifacts
  const places: Record<string, string> = {}
  /** The artifact's folder, or its file where it has only one. */
  const add = async (name: string, ref: ArtifactRef): Promise<void> => {
    const [first, ...others] = (await findArtifact(store, ref))?.files ?? []
    if (first === undefined) return
    places[name] = placeOf(store, others.length === 0 ? first.key : dirname(first.key))
  }
  const trained = (await findArtifact(store, adapter))?.files ?? []
  // Without an adapter's settings it is a whole model (method full).
  await add(trained.some(({ name }) => name === ADAPTER_CONFIG_FILE) ? 'adapter' : 'trained', adapter)
  await add('merged', merged)
  if (quantized) await add('gguf', quantized)
  await add('evaluation', evaluation)
  if (result.published) places.published = result.published.place
  return places
}

function placeOf(store: Store, key: string): string {
  return store.localPath(key) ?? `${store.uri}/${key}`
}
