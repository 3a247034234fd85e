import { openBaseModel } from '../base/open-base-model.ts'
import { storeModel } from '../base/stored-model.ts'
import { resolveBaseModel } from '../base/resolve-base-model.ts'
import { InputError } from '../errors.ts'
import { probeStore } from '../store/probe.ts'
import type { Store } from '../store/store.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { resolveTrainSettings, type TrainSettings } from '../train/train-settings.ts'
import type { StageContext } from './stage-context.ts'
import type { StageOutcome } from './stage-outcome.ts'

export interface ResolveModelInput {
  jobId: string
  attempt: number
  model: FineTuneSpec['model']
  train: FineTuneSpec['train']
  /** spec.data.maxLength. */
  maxLength: number
}

/** Which base model, and how it is trained, with nothing left to be decided: what the digests of all later stages rest on. */
export interface ResolvedModel {
  source: string
  revision?: string
  digest: string
  family: string
  layers: number
  hiddenSize: number
  maxPositions: number
  /** spec.train with every `auto` resolved. */
  training: TrainSettings
  /** The store has no conditional writes, and the user goes on without. */
  unfenced?: true
}

export type ResolveModelOutcome = StageOutcome<ResolvedModel>

/**
 * First the store: one that cannot be written, or takes writes that it must refuse, is found out before any work is done.
 * Then finds the base model, fetches it where it has to be fetched, and opens it once: an unsupported one is refused, too.
 */
export async function resolveModel(
  context: StageContext,
  input: ResolveModelInput,
): Promise<ResolveModelOutcome> {
  await probeStore(context.store)
  const { unfenced } = context.store
  if (unfenced)
    context.log({
      level: 'warn',
      message:
        'FENCING IS OFF (TEMPER_STORE_FENCING=none): a worker that was taken for dead can overwrite what its successor wrote',
      fields: { store: context.store.uri },
    })
  const identity = await identify(context, input.model)
  const { path, digest, revision, files } = identity
  // Once for all machines of a cluster; a store on this machine would only hold a second copy.
  if (files && context.store.localPath('base-models') === undefined) {
    context.progress({ phase: 'copy', done: 0 })
    await storeModel(context.store, { ...identity, files }, context.signal)
  }
  const model = openBaseModel(path)
  try {
    const { family, layers, hiddenSize, maxPositions } = model.config
    return {
      skipped: false,
      summary: {
        source: input.model.source,
        ...(revision !== undefined && { revision }),
        digest,
        family,
        layers,
        hiddenSize,
        maxPositions,
        ...(unfenced && { unfenced }),
        training: resolveTrainSettings(input.train, input.maxLength),
      },
    }
  } finally {
    model.close()
  }
}

/**
 * The local folder or file of the job's base model, on whichever machine a stage runs. InputError where its bytes are no
 * longer those that the job began with.
 */
export async function locateModel(
  context: StageContext,
  base: Pick<ResolvedModel, 'source' | 'revision' | 'digest'>,
): Promise<string> {
  const { source, revision } = base
  const known = { digest: base.digest, store: context.store }
  const { path, digest } = await identify(
    context,
    { source, ...(revision !== undefined && { revision }) },
    known,
  )
  if (digest !== base.digest) {
    throw new InputError(
      `${source}: the base model has changed while the job ran; put the old one back, or cancel the job and run it again.`,
    )
  }
  return path
}

function identify(
  context: StageContext,
  model: { source: string; revision?: string },
  known?: { digest: string; store: Store },
) {
  const { environment, signal } = context
  return resolveBaseModel(model.source, {
    ...(model.revision !== undefined && { revision: model.revision }),
    ...(environment.HF_TOKEN && { token: environment.HF_TOKEN }),
    ...(environment.HF_ENDPOINT && { endpoint: environment.HF_ENDPOINT }),
    ...(environment.MODELSCOPE_API_TOKEN && { modelScopeToken: environment.MODELSCOPE_API_TOKEN }),
    ...(environment.MODELSCOPE_ENDPOINT && { modelScopeEndpoint: environment.MODELSCOPE_ENDPOINT }),
    ...(environment.TEMPER_CACHE_BYTES && { cacheBytes: Number(environment.TEMPER_CACHE_BYTES) }),
    ...(known && { known }),
    progress: ({ file, received, total }) => context.progress({ phase: file, done: received, total }),
    cacheDir: context.downloadCache,
    signal,
  })
}
