import type { IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { InputError, TransientError } from '../errors.ts'
import { isJsonObject } from '../formats/json-file.ts'
import { httpGet } from './http-get.ts'

export const PUBLIC_HUB = 'https://huggingface.co'

export interface HubRepository {
  endpoint: string
  /** owner/name */
  name: string
  token?: string | undefined
  signal?: AbortSignal | undefined
}

/** A file of a revision with what its bytes are checked against. */
export interface HubFile {
  name: string
  size: number
  /** Large files lie apart with their SHA-256; small ones are git blobs with git's SHA-1. */
  digest: { kind: 'sha256' | 'git'; value: string }
}

/** The commit that a revision (branch, tag or commit) stands for, with its files. */
export async function hubRevision(
  repository: HubRepository,
  revision: string,
): Promise<{ commit: string; files: HubFile[] }> {
  const { endpoint, name, token, signal } = repository
  const address = `${endpoint}/api/models/${name}/revision/${encodeURIComponent(revision)}?blobs=true`
  const response = await httpGet(address, { token, signal, headers: { accept: 'application/json' } })
  refuseStatus(response, repository, `hf://${name} at revision ${JSON.stringify(revision)}`)
  let body: unknown
  try {
    body = await json(response)
  } catch (cause) {
    throw new TransientError(`${endpoint}: the answer about ${name} broke off`, { cause })
  }
  if (
    !isJsonObject(body) ||
    typeof body.sha !== 'string' ||
    !/^[0-9a-f]{40}$/.test(body.sha) ||
    !Array.isArray(body.siblings)
  )
    throw new InputError(`${endpoint}: does not answer as a Hugging Face hub does; check HF_ENDPOINT`)
  return { commit: body.sha, files: (body.siblings as unknown[]).flatMap(hubFile) }
}

function hubFile(entry: unknown): HubFile[] {
  if (!isJsonObject(entry) || typeof entry.rfilename !== 'string') return []
  const { rfilename: name, size, blobId, lfs } = entry
  if (isJsonObject(lfs) && typeof lfs.sha256 === 'string' && Number.isSafeInteger(lfs.size))
    return [{ name, size: lfs.size as number, digest: { kind: 'sha256', value: lfs.sha256 } }]
  if (typeof blobId === 'string' && Number.isSafeInteger(size))
    return [{ name, size: size as number, digest: { kind: 'git', value: blobId } }]
  return []
}

/** The bytes of a file from `offset` on. `start` is where the body really begins: servers without ranges send all. */
export async function hubFileBody(
  repository: HubRepository,
  commit: string,
  file: HubFile,
  offset: number,
): Promise<{ body: IncomingMessage; start: number }> {
  const { endpoint, name, token, signal } = repository
  const address = `${endpoint}/${name}/resolve/${commit}/${encodeURIComponent(file.name)}`
  // identity: a compressed body has neither the length nor the offsets of the file.
  const headers = { 'accept-encoding': 'identity', ...(offset > 0 ? { range: `bytes=${offset}-` } : {}) }
  const body = await httpGet(address, { token, signal, headers })
  refuseStatus(body, repository, `${file.name} of hf://${name}`)
  const from = /^bytes (\d+)-/.exec(body.headers['content-range'] ?? '')?.[1]
  return { body, start: body.statusCode === 206 ? Number(from ?? offset) : 0 }
}

/** Statuses by what has to happen next: the user must change something, or the same is tried again. */
function refuseStatus(response: IncomingMessage, { endpoint, token }: HubRepository, what: string): void {
  const status = response.statusCode ?? 0
  if (status >= 200 && status < 300) return
  response.destroy()
  const access = token === undefined ? 'set HF_TOKEN to a token' : 'set HF_TOKEN to another token'
  if (status === 401 || status === 403)
    throw new InputError(
      `${what}: the hub refuses access (${status}); ${access} that may read it, and accept the model's terms on its page`,
    )
  if (status === 404)
    throw new InputError(`${what}: the hub has no such thing; check the name and the revision`)
  throw new TransientError(`${endpoint} answers ${status} for ${what}`)
}
