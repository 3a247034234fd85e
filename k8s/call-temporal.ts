import { type Client, ServiceError } from '@temporalio/client'
import { TransientError } from '../src/errors.ts'

/** A call that takes longer is one to a server that is not there. */
const CALL_MILLISECONDS = 10_000

export interface TemporalPlace {
  client: Client
  /** For messages. */
  address: string
  heartbeatSeconds: number
}

/**
 * Asks a Temporal server something. TransientError where it does not answer; other errors are the call's own. Not by way of
 * `ensureConnected`: it keeps the outcome of its first attempt for ever, a failure too, while the channel connects anew when asked.
 */
export async function callTemporal<T>(
  { client, address }: TemporalPlace,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  try {
    return await client.withDeadline(Date.now() + CALL_MILLISECONDS, () => work(client))
  } catch (error) {
    if (!(error instanceof ServiceError) && !isGrpcError(error)) throw error
    throw unreachable(address, error)
  }
}

function unreachable(address: string, error: unknown): TransientError {
  return new TransientError(`Temporal at ${address} does not answer: ${reasonOf(error)}`, { cause: error })
}

function isGrpcError(error: unknown): boolean {
  return error instanceof Error && typeof (error as { code?: unknown }).code === 'number'
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message : error.message
}
