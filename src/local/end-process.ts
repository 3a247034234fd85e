import { setTimeout as sleep } from 'node:timers/promises'
import { type ProcessIdentity, isRunning } from './process-identity.ts'

/** Asks a process to end, waits, and kills it where it does not listen. Does nothing where it has ended already. */
export async function endProcess(identity: ProcessIdentity, graceMilliseconds: number): Promise<void> {
  if (!isRunning(identity)) return
  signal(identity, 'SIGTERM')
  if (await hasEnded(identity, graceMilliseconds)) return
  signal(identity, 'SIGKILL')
  await hasEnded(identity, graceMilliseconds)
}

function signal(identity: ProcessIdentity, name: NodeJS.Signals): void {
  try {
    process.kill(identity.pid, name)
  } catch (error) {
    // It ended between the look and the signal.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function hasEnded(identity: ProcessIdentity, milliseconds: number): Promise<boolean> {
  const pollMilliseconds = 50
  for (let waited = 0; waited < milliseconds; waited += pollMilliseconds) {
    if (!isRunning(identity)) return true
    await sleep(pollMilliseconds)
  }
  return !isRunning(identity)
}
