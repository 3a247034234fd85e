import type { IncomingMessage } from 'node:http'
import { InputError, TransientError } from '../errors.ts'

interface Access {
  endpoint: string
  token: string | undefined
  /** Where the user sets the token. */
  variable: string
}

/** Statuses by what has to happen next: the user must change something, or the same is tried again. */
export function refuseStatus(
  response: IncomingMessage,
  { endpoint, token, variable }: Access,
  what: string,
): void {
  const status = response.statusCode ?? 0
  if (status >= 200 && status < 300) return
  response.destroy()
  const access = token === undefined ? `set ${variable} to a token` : `set ${variable} to another token`
  if (status === 401 || status === 403)
    throw new InputError(
      `${what}: the hub refuses access (${status}); ${access} that may read it, and accept the model's terms on its page`,
    )
  if (status === 404)
    throw new InputError(`${what}: the hub has no such thing; check the name and the revision`)
  throw new TransientError(`${endpoint} answers ${status} for ${what}`)
}

/** At which byte of the file a body begins. */
export function startOf(body: IncomingMessage, offset: number): number {
  const from = /^bytes (\d+)-/.exec(body.headers['content-range'] ?? '')?.[1]
  return body.statusCode === 206 ? Number(from ?? offset) : 0
}
