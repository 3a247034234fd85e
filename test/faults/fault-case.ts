import type { FaultJob, FaultJobOptions } from './fault-job.ts'

/** What a case measured beside its verdict. */
export interface Measured {
  /** From the kill to the first step that was computed after it. */
  recoverySeconds?: number
  /** Steps that were computed and had to be computed again. */
  stepsLost?: number
}

export interface FaultCase {
  /** Cases of one kind share a row in the report. */
  kind: string
  /** What is done, in a sentence of the report. */
  what: string
  /** How often in a whole run; every case of the quick run has it once. */
  runs: number
  isQuick: boolean
  options?: Partial<Omit<FaultJobOptions, 'name'>>
  /** Checkpoints that the fault spoils. */
  spoils?: number
  /** Disturbs a job that has not been submitted; returns when the job has ended well. Throws where the fault did not happen. */
  run(job: FaultJob, random: () => number): Promise<Measured>
}

/** Why a case cannot be had on this machine: it is counted apart, never as passed. */
export class NotPossibleHere extends Error {}
