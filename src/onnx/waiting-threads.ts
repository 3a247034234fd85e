import { kernelFile } from '../kernel-file.ts'

/** Linux's pressure stall information: https://docs.kernel.org/accounting/psi.html. */
const PRESSURE = '/proc/pressure/cpu'
/** Percent of the last ten seconds in which some task waited for a core. Above it the cores are wanted by others. */
const CROWDED = 25
/** Longer than the pause between two operators, so short that little is lost where none follows. ONNX Runtime's own is 1 ms or more. */
const MICROSECONDS = '100'

/** ONNX Runtime's session.intra_op options. */
export type WaitingThreads =
  { allow_spinning: '0' } | { allow_spinning: '1'; spin_duration_us: typeof MICROSECONDS }

/**
 * Whether threads that wait for the next operator spin for a moment. Where cores are free that saves waking them up thousands of times a
 * step (docs/performance.md: a fifth more tokens/s in `fast`); where they are not, it takes a core from whoever has work. Results are the
 * same. A system that does not say how crowded it is, is taken for crowded.
 */
export function waitingThreads(file = PRESSURE): WaitingThreads {
  const waited = Number(/^some avg10=([\d.]+) /m.exec(kernelFile(file) ?? '')?.[1] ?? 100)
  return waited < CROWDED ? { allow_spinning: '1', spin_duration_us: MICROSECONDS } : { allow_spinning: '0' }
}
