import { InvalidArgumentError } from 'commander'

const maxPort = 65_535
/** Below this a busy machine's pause looks like a death. */
const leastHeartbeatSeconds = 1

export function parsePort(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > maxPort) {
    throw new InvalidArgumentError(`a port is a whole number from 1 to ${maxPort}.`)
  }
  return port
}

export function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (!Number.isFinite(seconds) || seconds < leastHeartbeatSeconds) {
    throw new InvalidArgumentError(`give a number of seconds, at least ${leastHeartbeatSeconds}.`)
  }
  return seconds
}

/** Long enough for a busy machine's pauses, short enough that a killed worker is noticed within half a minute. */
export const DEFAULT_HEARTBEAT_SECONDS = 20
