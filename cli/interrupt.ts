import { constants } from 'node:os'

/** As a shell reports a program that ended by Ctrl-C. */
export const INTERRUPTED_EXIT = 128 + constants.signals.SIGINT
/** Set by bin/temper.js where it runs this command in a process of its own: then the channel between them is its life line. */
const LAUNCHER_VARIABLE = 'TEMPER_LAUNCHER'

/**
 * Ctrl-C, SIGTERM, SIGHUP and the loss of the launcher as one wish to stop in good order. A second one is a wish to stop at
 * once: the process ends, and nothing is lost but what came after the last checkpoint.
 */
export function onInterrupt(): AbortSignal {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED_EXIT)
    controller.abort()
  }
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop)
  if (process.env[LAUNCHER_VARIABLE] === '1' && process.connected) {
    process.on('disconnect', () => controller.abort())
    // It must not keep the process alive either.
    process.channel?.unref()
  }
  return controller.signal
}
