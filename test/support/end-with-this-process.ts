import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

/**
 * Ends the process `pid` with this one, however this one ends: kill -9 runs no exit handler, but it closes the pipe that a shell
 * reads from. Returns what calls it off, before that process is ended in good order.
 */
export function endWithThisProcess(pid: number): () => void {
  const watchdog = spawn('/bin/sh', ['-c', 'read -r _ || kill -9 "$0"', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Ctrl-C in a terminal reaches it not.
    detached: true,
  })
  watchdog.unref()
  // A test's end waits for neither.
  ;(watchdog.stdin as Socket).unref()
  return () => void watchdog.kill('SIGKILL')
}
