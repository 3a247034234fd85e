import type { Progress } from './child-protocol.ts'
import type { Clock } from './clock.ts'

/** Ten a second: more than a person sees, and next to nothing for the parent to read. */
const INTERVAL = 100

/** Passes on what is new: each change of phase, and within a phase at most ten reports a second. */
export function throttleProgress(
  report: (progress: Progress) => void,
  clock: Clock,
): (progress: Progress) => void {
  let phase: Progress['phase'] | undefined
  let reportedAt = 0
  return (progress) => {
    const now = clock.now()
    if (progress.phase === phase && now - reportedAt < INTERVAL) return
    phase = progress.phase
    reportedAt = now
    report(progress)
  }
}
