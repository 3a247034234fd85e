import { z } from 'zod'
import { CorruptError } from '../errors.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import { currentVersion } from '../store/model-registry.ts'
import type { Store } from '../store/store.ts'

/** The version that a name stands for now, as far as a comparison needs it. */
export interface Champion {
  version: number
  adapter: ArtifactRef
  /** The rows that it was trained on. */
  tokenized: ArtifactRef
  base: { digest: string }
}

const reference = z.strictObject({ stage: z.string(), digest: z.string() })
const summarySchema = z.looseObject({
  base: z.looseObject({ digest: z.string() }),
  artifacts: z.looseObject({ adapter: reference, tokenized: reference }),
})

/** Undefined where nothing is published: then the base model itself is what a challenger has to beat. */
export async function championOf(store: Store, name: string): Promise<Champion | undefined> {
  const current = await currentVersion(store, name)
  if (current === undefined) return undefined
  const summary = summarySchema.safeParse(current.summary)
  if (!summary.success) {
    throw new CorruptError(`version ${current.version} of ${name} does not say which adapter it is made of`)
  }
  const { base, artifacts } = summary.data
  const { adapter, tokenized } = artifacts
  return { version: current.version, adapter, tokenized, base: { digest: base.digest } }
}
