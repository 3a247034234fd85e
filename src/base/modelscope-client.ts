import { createHash } from 'node:crypto'
import { json } from 'node:stream/consumers'
import { InputError, TransientError } from '../errors.ts'
import { isJsonObject } from '../formats/json-file.ts'
import { httpGet } from './http-get.ts'
import { refuseStatus, startOf } from './hub-answers.ts'
import type { HubRepository } from './hub-client.ts'
import type { HubFile, ModelHub } from './model-hub.ts'

export const PUBLIC_MODELSCOPE = 'https://modelscope.cn'

/**
 * A repository of ModelScope (https://modelscope.cn; the API as modelscope/modelscope's hub/api.py and hub/file_download.py use it).
 * It lists files with their SHA-256 but does not say which commit a branch stands for: the id is that of the listed bytes.
 */
export function modelScopeHub(repository: HubRepository): ModelHub {
  const { endpoint, name, token, signal } = repository
  const access = { endpoint, token, variable: 'MODELSCOPE_API_TOKEN' }
  const source = `ms://${name}`
  // Its own client sends the token as a cookie; httpGet adds it as a bearer, for the first host alone.
  const options = { token, signal, ...(token !== undefined && { cookie: `m_session_id=${token}` }) }
  return {
    source,
    name,
    signal,
    async resolve(revision) {
      const query = new URLSearchParams({ Revision: revision, Recursive: 'true' })
      const response = await httpGet(
        `${endpoint}/api/v1/models/${name}/repo/files?${query.toString()}`,
        options,
      )
      refuseStatus(response, access, `${source} at revision ${JSON.stringify(revision)}`)
      let body: unknown
      try {
        body = await json(response)
      } catch (cause) {
        throw new TransientError(`${endpoint}: the answer about ${name} broke off`, { cause })
      }
      const data = isJsonObject(body) && isJsonObject(body.Data) ? body.Data : {}
      if (!Array.isArray(data.Files))
        throw new InputError(`${endpoint}: does not answer as ModelScope does; check MODELSCOPE_ENDPOINT`)
      const files = (data.Files as unknown[]).flatMap(fileOf)
      return { id: idOf(files), revision, files }
    },
    async body(revision, file, offset) {
      const query = new URLSearchParams({ Revision: revision, FilePath: file.name })
      const headers = {
        'accept-encoding': 'identity',
        ...(offset > 0 ? { range: `bytes=${offset}-` } : {}),
      }
      const body = await httpGet(`${endpoint}/api/v1/models/${name}/repo?${query.toString()}`, {
        ...options,
        headers,
      })
      refuseStatus(body, access, `${file.name} of ${source}`)
      return { body, start: startOf(body, offset) }
    },
  }
}

function fileOf(entry: unknown): HubFile[] {
  if (!isJsonObject(entry)) return []
  const { Path: name, Type: type, Size: size, Sha256: sha256 } = entry
  if (type === 'tree' || typeof name !== 'string' || !Number.isSafeInteger(size)) return []
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) return []
  return [{ name, size: size as number, digest: { kind: 'sha256', value: sha256 } }]
}

function idOf(files: readonly HubFile[]): string {
  const hash = createHash('sha256')
  for (const { name, size, digest } of files.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    hash.update(`${name} ${size} ${digest.value}\n`)
  return hash.digest('hex').slice(0, 40)
}
