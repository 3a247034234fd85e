import { type Logger, destination, pino } from 'pino'

const STDERR = 2

/**
 * The worker's own log: a JSON object a line on stderr. Written at once, so that a killed process has said all it knew. Ids,
 * numbers and messages only; never a row's text, never the environment.
 */
export function workerLog(): Logger {
  return pino(
    {
      base: { pid: process.pid },
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    destination({ fd: STDERR, sync: true }),
  )
}
