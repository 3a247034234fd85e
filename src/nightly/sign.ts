import { createHmac } from 'node:crypto'
import { InputError } from '../errors.ts'

/** Of the key, in bytes: what Standard Webhooks asks for. */
const SHORTEST = 24
const LONGEST = 64

/**
 * `webhook-signature` as Standard Webhooks has it: v1, and the HMAC-SHA256 of id.timestamp.body by the secret's bytes, which stand
 * in base64 behind whsec_. InputError naming `variable` where the secret is none.
 */
export function webhookSignature(
  { secret, variable }: { secret: string; variable: string },
  { id, timestamp, body }: { id: string; timestamp: number; body: string },
): string {
  const text = secret.replace(/^whsec_/, '')
  const key = Buffer.from(text, 'base64')
  // Buffer passes over what is no base64: such a secret would sign with another key than its owner has.
  const isBase64 = key.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '')
  if (!isBase64 || key.length < SHORTEST || key.length > LONGEST) {
    throw new InputError(
      `${variable}: is no webhook secret; it must be whsec_ and ${SHORTEST} to ${LONGEST} bytes in base64.`,
    )
  }
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
}
