import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { InputError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import type { BaseModelIdentity } from './base-model.ts'
import { PUBLIC_HUB, huggingFaceHub } from './hub-client.ts'
import { fetchHubModel, type DownloadProgress } from './hub-model.ts'
import { digestOfFiles, digestOfModel } from './model-files.ts'
import { PUBLIC_MODELSCOPE, modelScopeHub } from './modelscope-client.ts'

export interface ResolveOptions {
  /** A branch, tag or commit of the hub; `main` where none is named. */
  revision?: string
  cacheDir: string
  /** HF_TOKEN, for private and gated models. */
  token?: string
  /** HF_ENDPOINT: a mirror or a hub of one's own. */
  endpoint?: string
  /** MODELSCOPE_API_TOKEN and MODELSCOPE_ENDPOINT, for ms:// */
  modelScopeToken?: string
  modelScopeEndpoint?: string
  /** How much the cache may hold; without it nothing is ever removed from it. */
  cacheBytes?: number
  /** The model as the job resolved it before, and the store that may have a copy. */
  known?: { digest: string; store: Store }
  progress?: (progress: DownloadProgress) => void
  signal?: AbortSignal
}

/**
 * Says exactly which base model a source is (folder, .gguf file, hf:// or ms://owner/name[@revision]) and makes it local. From the hub
 * the revision is resolved to a commit and its files are fetched once, resumed and verified.
 * InputError: what to mend. TransientError: the hub is out of reach. CorruptError: the hub sent other bytes than announced.
 */
export async function resolveBaseModel(source: string, options: ResolveOptions): Promise<BaseModelIdentity> {
  const { revision, cacheDir, progress = () => {}, signal } = options
  if (!/^(hf|ms):\/\//.test(source)) {
    if (source.includes('://'))
      throw new InputError(
        `${source}: is no base model's place; name a folder, a .gguf file, hf://owner/name or ms://owner/name`,
      )
    const path = resolve(source)
    if (!existsSync(path))
      throw new InputError(`${source}: there is no such folder or file; check model.source`)
    if (revision !== undefined)
      throw new InputError(
        `${source}: a folder or file has no revision; remove model.revision or name hf://owner/name`,
      )
    return { source, digest: await digestOfModel(path, signal), path }
  }
  const [, scheme, name, at] = /^(hf|ms):\/\/([\w.-]+\/[\w.-]+?)(?:@([\w./-]+))?$/.exec(source) ?? []
  if (name === undefined || name.split('/').some((part) => /^\.+$/.test(part)))
    throw new InputError(
      `${source}: must read hf://owner/name or hf://owner/name@revision (ms:// for ModelScope)`,
    )
  if (at !== undefined && revision !== undefined && at !== revision)
    throw new InputError(
      `${source}: names the revision ${at} but model.revision is ${revision}; keep one of them`,
    )
  const { hub, branch } = scheme === 'ms' ? modelScope(name, options) : huggingFace(name, options)
  const model = await fetchHubModel(hub, revision ?? at ?? branch, {
    cache: { dir: cacheDir, ...(options.cacheBytes !== undefined && { maxBytes: options.cacheBytes }) },
    ...(options.known && { known: options.known }),
    progress,
  })
  const { path, files } = model
  return { source, revision: model.revision, digest: digestOfFiles(files), path, files }
}

function huggingFace(name: string, { endpoint, token, signal }: ResolveOptions) {
  const checked = checkedEndpoint('HF_ENDPOINT', endpoint ?? PUBLIC_HUB)
  return { hub: huggingFaceHub({ endpoint: checked, name, token, signal }), branch: 'main' }
}

function modelScope(name: string, { modelScopeEndpoint, modelScopeToken, signal }: ResolveOptions) {
  const endpoint = checkedEndpoint('MODELSCOPE_ENDPOINT', modelScopeEndpoint ?? PUBLIC_MODELSCOPE)
  return { hub: modelScopeHub({ endpoint, name, token: modelScopeToken, signal }), branch: 'master' }
}

function checkedEndpoint(variable: string, endpoint: string): string {
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint))
    throw new InputError(
      `${variable} is ${JSON.stringify(endpoint)}; it must be an address that begins with http:// or https://`,
    )
  return endpoint.replace(/\/+$/, '')
}
