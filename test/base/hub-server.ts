import { createHash } from 'node:crypto'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export interface HubRequest {
  path: string
  range?: string
  authorization?: string
  status: number
}

/** A model hub on this machine: revision info, resolve with a redirect to a second host, ranges, and the faults a test asks for. */
export interface TestHub {
  endpoint: string
  /** Where large files lie: the second host. */
  storage: string
  commit: string
  requests: HubRequest[]
  /** Cut the next bodies of large files off after this many bytes each. */
  cuts: number[]
  /** Answer the next requests to the storage host with these statuses. */
  statuses: number[]
  /** Send other bytes than announced. */
  corrupt: boolean
  /** Ignore Range, as some mirrors do. */
  withoutRanges: boolean
  /** Where set, what is asked for needs this token. */
  token?: string
  close(): Promise<void>
}

export interface TestRepository {
  name: string
  files: Record<string, Buffer>
  /** What the API claims instead of a commit, for a hostile hub. */
  sha?: string
  /** Both hosts speak TLS by these. */
  tls?: { cert: string; key: string }
}

const COMMIT = 'c0ffee'.padEnd(40, '0')

export async function startTestHub({ name, files, sha = COMMIT, tls }: TestRepository): Promise<TestHub> {
  const large = (file: string) => file.endsWith('.safetensors')
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  const gitSha = (bytes: Buffer) =>
    createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')

  const serve = (answers: RequestListener): Server =>
    tls ? createTlsServer(tls, answers) : createServer(answers)
  const storage = serve((request, response) => {
    const digest = (request.url ?? '').slice(1)
    const [, bytes] = Object.entries(files).find(([, content]) => sha256(content) === digest) ?? []
    const status = hub.statuses.shift()
    if (status !== undefined || bytes === undefined) return answer(request, response, status ?? 404)
    send(request, response, hub.corrupt ? Buffer.alloc(bytes.length, 7) : bytes, hub.cuts.shift())
  })
  const api = serve((request, response) => {
    const url = new URL(request.url ?? '', 'http://hub')
    if (hub.token !== undefined && request.headers.authorization !== `Bearer ${hub.token}`)
      return answer(request, response, 401)
    if (
      url.pathname === `/api/models/${name}/revision/main` ||
      url.pathname === `/api/models/${name}/revision/${COMMIT}`
    ) {
      const siblings = Object.entries(files).map(([rfilename, bytes]) => ({
        rfilename,
        size: bytes.length,
        blobId: gitSha(bytes),
        ...(large(rfilename) ? { lfs: { sha256: sha256(bytes), size: bytes.length, pointerSize: 130 } } : {}),
      }))
      return answer(request, response, 200, Buffer.from(JSON.stringify({ sha, siblings })))
    }
    const file = url.pathname.startsWith(`/${name}/resolve/${COMMIT}/`)
      ? decodeURIComponent(url.pathname.slice(`/${name}/resolve/${COMMIT}/`.length))
      : ''
    const bytes = files[file]
    if (!bytes) return answer(request, response, 404)
    if (!large(file)) return send(request, response, bytes)
    response.setHeader('location', `${address(storage)}/${sha256(bytes)}`)
    response.setHeader('x-linked-etag', `"${sha256(bytes)}"`)
    answer(request, response, 302)
  })

  function note(request: IncomingMessage, status: number): void {
    const { range, authorization } = request.headers
    hub.requests.push({
      path: request.url ?? '',
      status,
      ...(range === undefined ? {} : { range }),
      ...(authorization === undefined ? {} : { authorization }),
    })
  }
  function answer(
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    body = Buffer.alloc(0),
  ): void {
    note(request, status)
    response.writeHead(status, { 'content-length': body.length }).end(body)
  }
  function send(request: IncomingMessage, response: ServerResponse, bytes: Buffer, cut?: number): void {
    const from = hub.withoutRanges ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const status = from > 0 ? 206 : 200
    note(request, status)
    const body = bytes.subarray(from)
    response.writeHead(status, {
      'content-length': body.length,
      etag: `"${sha256(bytes)}"`,
      ...(from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
    })
    if (cut === undefined) response.end(body)
    else response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20))
  }

  await Promise.all([listen(api), listen(storage)])
  const hub: TestHub = {
    endpoint: address(api),
    storage: address(storage),
    commit: COMMIT,
    requests: [],
    cuts: [],
    statuses: [],
    corrupt: false,
    withoutRanges: false,
    close: async () => void (await Promise.all([close(api), close(storage)])),
  }
  return hub
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
}

function close(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}

function address(server: Server): string {
  const scheme = server instanceof TlsServer ? 'https' : 'http'
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** ModelScope's two calls on this machine: the list of files, and a file's bytes after a redirect. */
export async function startTestModelScope({ name, files }: TestRepository): Promise<{
  endpoint: string
  requests: { path: string; cookie: string | undefined }[]
  close(): Promise<void>
}> {
  const requests: { path: string; cookie: string | undefined }[] = []
  const root = `/api/v1/models/${name}/repo`
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://hub')
    requests.push({ path: request.url ?? '', cookie: request.headers.cookie })
    const file = url.searchParams.get('FilePath') ?? url.pathname.replace('/bytes/', '')
    const bytes = files[decodeURIComponent(file)]
    if (url.searchParams.get('Revision') === 'master' && url.pathname === `${root}/files`) {
      const listed = Object.entries(files).map(([Path, content]) => ({
        Path,
        Name: Path.split('/').at(-1),
        Type: 'blob',
        Size: content.length,
        Sha256: createHash('sha256').update(content).digest('hex'),
      }))
      const Files = [{ Path: 'onnx', Name: 'onnx', Type: 'tree', Size: 0 }, ...listed]
      response.end(JSON.stringify({ Code: 200, Success: true, Data: { Files } }))
    } else if (bytes !== undefined && url.pathname === root)
      response.writeHead(302, { location: `/bytes/${encodeURIComponent(file)}` }).end()
    else if (bytes !== undefined) response.end(bytes)
    else response.writeHead(404).end()
  })
  await listen(server)
  return { endpoint: address(server), requests, close: () => close(server) }
}
