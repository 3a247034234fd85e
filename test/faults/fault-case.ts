import type { FaultJob, FaultJobOptions } from './fault-job.ts'

/** What a case measured beside its verdict. */
export interface Measured {
  /** What was killed or stopped, and how it went on; one entry for each time. */
  recoveries?: Recovery[]
  /** Anything else worth a line in the report. */
  note?: string
}

export interface Recovery {
  /** From the kill to the first step that was computed after it. */
  seconds: number
  /** Steps that were computed and had to be computed again. */
  stepsLost: number
}

/** The most that processes have used, in bytes; pages of files, which the kernel takes back as it likes, not counted. */
export interface UsedMemory {
  worker: number
  /** The largest of the worker's child processes. */
  trainer: number
}

/** How a job ended that nothing disturbed. */
export interface Undisturbed {
  /** SHA-256 of the adapter. */
  adapter: string
  /** Of the tuned model on the evaluation rows. */
  loss: number
  memory: UsedMemory
}

/** The order of the report; what is given to --part. */
export const PARTS = ['kills', 'boundaries', 'owners', 'network', 'damage', 'memory', 'load'] as const
export type Part = (typeof PARTS)[number]

export interface FaultCase {
  part: Part
  /** Cases of one kind share a row in the report. */
  kind: string
  /** What is done, in a sentence of the report. */
  what: string
  /** How often in a whole run; every case of the quick run has it once, and some have only that. */
  runs: number | 'quick'
  isQuick: boolean
  options?: Partial<Omit<FaultJobOptions, 'name'>>
  /** Recovery is measured: with the heartbeat timeout that the chart ships, not with a short one. */
  isMeasured?: boolean
  /** Checkpoints that the fault spoils. */
  spoils?: number
  /**
   * What the result is held against: an undisturbed run's adapter bit for bit (default), its loss within this relative
   * tolerance, or nothing where the fault is in the job itself.
   */
  against?: 'adapter' | { loss: number } | 'itself'
  /** The case has checked its outcome itself: it was no single job. */
  checks?: 'itself'
  /** Disturbs a job that has not been submitted; returns when the job has ended well. Throws where the fault did not happen. */
  run(job: FaultJob, random: () => number, run: RunOfCase): Promise<Measured>
}

export interface RunOfCase {
  /** Of its kind, from 1. */
  number: number
  isQuick: boolean
  /** What it is held against, where that is not itself. */
  undisturbed(): Promise<Undisturbed>
}

/** Why a case cannot be had on this machine: it is counted apart, never as passed. */
export class NotPossibleHere extends Error {}
