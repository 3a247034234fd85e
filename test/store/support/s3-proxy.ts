import { createServer, request } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What happens to one request on its way. */
export type Fate =
  | { kind: 'pass' }
  /** The connection breaks before the server has heard anything. */
  | { kind: 'cut before' }
  /** The server does it; the connection breaks before the answer. */
  | { kind: 'cut after' }
  /** The answer's head and half of its body arrive. */
  | { kind: 'cut within' }
  | { kind: 'answer'; status: number; code: string }
  /** The answer's bytes come drop by drop, over this time. */
  | { kind: 'slow'; milliseconds: number }

export interface SeenRequest {
  /** From 1. */
  number: number
  method: string
  /** With the query. */
  path: string
  headers: IncomingMessage['headers']
}

export interface S3Proxy {
  endpoint: string
  seen: SeenRequest[]
  /** Decides over each request to come; it may do something itself first. */
  decide: (request: SeenRequest) => Fate | Promise<Fate>
  close(): Promise<void>
}

/** A proxy before a real S3 server that does to requests what networks and servers do. */
export async function s3Proxy(upstream: string): Promise<S3Proxy> {
  const seen: SeenRequest[] = []
  const server = createServer((incoming, answer) => {
    void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of incoming) chunks.push(chunk as Buffer)
      const { method = '', url = '', headers } = incoming
      const now: SeenRequest = { number: seen.length + 1, method, path: url, headers }
      seen.push(now)
      await forward(upstream, now, Buffer.concat(chunks), answer, await proxy.decide(now))
    })().catch(() => incoming.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: S3Proxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    decide: () => ({ kind: 'pass' }),
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
  return proxy
}

async function forward(
  upstream: string,
  seen: SeenRequest,
  body: Buffer,
  answer: ServerResponse,
  fate: Fate,
): Promise<void> {
  if (fate.kind === 'cut before') return void answer.destroy()
  if (fate.kind === 'answer') {
    answer.writeHead(fate.status, { 'content-type': 'application/xml' })
    return void answer.end(
      `<?xml version="1.0"?><Error><Code>${fate.code}</Code><Message>injected</Message></Error>`,
    )
  }
  const { status, headers, bytes } = await send(upstream, seen, body)
  if (fate.kind === 'cut after') return void answer.destroy()
  if (fate.kind === 'slow') {
    // The head, then the bytes in tenths.
    answer.writeHead(status, headers)
    const tenth = Math.ceil(bytes.length / 10) || 1
    for (let at = 0; at < bytes.length; at += tenth) {
      await sleep(fate.milliseconds / 10)
      answer.write(bytes.subarray(at, at + tenth))
    }
    return void answer.end()
  }
  answer.writeHead(status, headers)
  if (fate.kind === 'pass') return void answer.end(bytes)
  answer.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => answer.destroy())
}

function send(upstream: string, { method, path, headers }: SeenRequest, body: Buffer) {
  const { hostname, port } = new URL(upstream)
  return new Promise<{ status: number; headers: IncomingMessage['headers']; bytes: Buffer }>(
    (resolve, reject) => {
      // The Host header is part of the signature, so it stays that of the proxy.
      const outgoing = request({ hostname, port, method, path, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', reject)
        response.once('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            bytes: Buffer.concat(chunks),
          })
        })
      })
      outgoing.once('error', reject)
      outgoing.end(body)
    },
  )
}
