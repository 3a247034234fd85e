import type { IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { InputError, TransientError } from '../errors.ts'
import { isJsonObject } from '../formats/json-file.ts'
import { httpGet } from './http-get.ts'
import { refuseStatus, startOf } from './hub-answers.ts'
import type { HubFile, ModelHub } from './model-hub.ts'

export const PUBLIC_HUB = 'https://huggingface.co'

export interface HubRepository {
  endpoint: string
  /** owner/name */
  name: string
  token?: string | undefined
  signal?: AbortSignal | undefined
}

/** A repository of the Hugging Face hub, or of one that answers like it. */
export function huggingFaceHub(repository: HubRepository): ModelHub {
  const { name, signal } = repository
  return {
    source: `hf://${name}`,
    name,
    signal,
    async resolve(revision) {
      const { commit, files } = await hubRevision(repository, revision)
      return { id: commit, revision: commit, files }
    },
    body: (commit, file, offset) => hubFileBody(repository, commit, file, offset),
  }
}

/** The commit that a revision (branch, tag or commit) stands for, with its files. */
async function hubRevision(
  repository: HubRepository,
  revision: string,
): Promise<{ commit: string; files: HubFile[] }> {
  const { endpoint, name, token, signal } = repository
  const address = `${endpoint}/api/models/${name}/revision/${encodeURIComponent(revision)}?blobs=true`
  const response = await httpGet(address, { token, signal, headers: { accept: 'application/json' } })
  refuseStatus(response, access(repository), `hf://${name} at revision ${JSON.stringify(revision)}`)
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
async function hubFileBody(
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
  refuseStatus(body, access(repository), `${file.name} of hf://${name}`)
  return { body, start: startOf(body, offset) }
}

const access = ({ endpoint, token }: HubRepository) => ({ endpoint, token, variable: 'HF_TOKEN' })
