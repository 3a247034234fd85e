import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { InputError } from '../errors.ts'
import type { BaseModelIdentity } from './base-model.ts'
import { PUBLIC_HUB } from './hub-client.ts'
import { fetchHubModel, type DownloadProgress } from './hub-model.ts'
import { digestOfFiles, digestOfModel } from './model-files.ts'

export interface ResolveOptions {
  /** A branch, tag or commit of the hub; `main` where none is named. */
  revision?: string
  cacheDir: string
  /** HF_TOKEN, for private and gated models. */
  token?: string
  /** HF_ENDPOINT: a mirror or a hub of one's own. */
  endpoint?: string
  progress?: (progress: DownloadProgress) => void
  signal?: AbortSignal
}

/**
 * Says exactly which base model a source is (folder, .gguf file or hf://owner/name[@revision]) and makes it local. From the hub
 * the revision is resolved to a commit and its files are fetched once, resumed and verified.
 * InputError: what to mend. TransientError: the hub is out of reach. CorruptError: the hub sent other bytes than announced.
 */
export async function resolveBaseModel(source: string, options: ResolveOptions): Promise<BaseModelIdentity> {
  const { revision, cacheDir, token, endpoint, progress = () => {}, signal } = options
  if (!source.startsWith('hf://')) {
    if (source.includes('://'))
      throw new InputError(
        `${source}: is no base model's place; name a folder, a .gguf file or hf://owner/name`,
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
  const [, name, at] = /^hf:\/\/([\w.-]+\/[\w.-]+?)(?:@([\w./-]+))?$/.exec(source) ?? []
  if (name === undefined || name.split('/').some((part) => /^\.+$/.test(part)))
    throw new InputError(`${source}: must read hf://owner/name or hf://owner/name@revision`)
  if (at !== undefined && revision !== undefined && at !== revision)
    throw new InputError(
      `${source}: names the revision ${at} but model.revision is ${revision}; keep one of them`,
    )
  const repository = { endpoint: checkedEndpoint(endpoint ?? PUBLIC_HUB), name, token, signal }
  const model = await fetchHubModel(repository, revision ?? at ?? 'main', cacheDir, progress)
  return { source, revision: model.commit, digest: digestOfFiles(model.files), path: model.path }
}

function checkedEndpoint(endpoint: string): string {
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint))
    throw new InputError(
      `HF_ENDPOINT is ${JSON.stringify(endpoint)}; it must be an address that begins with http:// or https://`,
    )
  return endpoint.replace(/\/+$/, '')
}
