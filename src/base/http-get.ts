import { Agent as HttpAgent, get as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, get as httpsRequest } from 'node:https'
import { TransientError } from '../errors.ts'

/** A hub that answers does so within seconds; one that is out of reach is found out quickly. */
const ANSWER_MILLISECONDS = 10_000

/** A body that brings no byte for this long is a dead connection. */
const IDLE_MILLISECONDS = 30_000

/** The hub sends a file's reader on once or twice; browsers stop at twenty. */
const MAX_REDIRECTS = 10

export interface HttpGetOptions {
  headers?: Record<string, string>
  /** Sent to the first host only: what a redirect points at gets no token. */
  token?: string | undefined
  /** To the first host only, too. */
  cookie?: string
  signal?: AbortSignal | undefined
}

/**
 * One GET, redirects followed, proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY honoured. Any status is an answer; the caller reads
 * or destroys the body. TransientError where no answer comes.
 */
export async function httpGet(address: string, options: HttpGetOptions = {}): Promise<IncomingMessage> {
  const first = new URL(address)
  let url = first
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const authorized = options.token !== undefined && url.host === first.host
    const response = await once(url, {
      'user-agent': 'temper',
      ...options.headers,
      ...(authorized ? { authorization: `Bearer ${options.token}` } : {}),
      ...(authorized && options.cookie ? { cookie: options.cookie } : {}),
    }, options.signal) // prettier-ignore
    const location = response.headers.location
    if (location === undefined || (response.statusCode ?? 0) < 300 || (response.statusCode ?? 0) >= 400)
      return response
    response.destroy()
    const next = new URL(location, url)
    if (next.protocol !== 'https:' && next.protocol !== first.protocol)
      throw new TransientError(`${first.host} redirects to ${next.protocol}, which is not followed`)
    url = next
  }
  throw new TransientError(`${first.host} redirects without end`)
}

function once(
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  const secure = url.protocol === 'https:'
  const agent = new (secure ? HttpsAgent : HttpAgent)({ proxyEnv: process.env })
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(signal?.aborted ? signal.reason : new TransientError(`${url.host} cannot be reached: ${why(cause)}`, { cause })) // prettier-ignore
    const request = (secure ? httpsRequest : httpRequest)(
      url,
      { headers, agent, ...(signal ? { signal } : {}) },
      (response) => {
        clearTimeout(timer)
        response.setTimeout(IDLE_MILLISECONDS, () =>
          response.destroy(new TransientError(`${url.host} stopped sending`)),
        )
        resolve(response)
      },
    )
    const timer = setTimeout(() => request.destroy(new Error('no answer in time')), ANSWER_MILLISECONDS)
    request.on('error', (cause) => {
      clearTimeout(timer)
      fail(cause)
    })
  })
}

function why(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  // Several addresses of one name, each refused: the error itself says nothing.
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : undefined
  return first instanceof Error ? first.message : cause.message
}
