import type { Lost } from '../failures/failure-details.ts'

/** How far a running stage is: what a person watches, and a sign of life. It travels in heartbeats, never in a history. */
export interface StageProgress {
  /** What it is doing, in a word or two: load, train, rows. */
  phase: string
  done: number
  /** Unknown while a source is still being read. */
  total?: number
  /** Mean loss of the last step's targets. */
  loss?: number
  /** Of the newest evaluation during training, and the step of the best one. */
  evalLoss?: number
  bestStep?: number
  /** As Progress.inexact. */
  inexact?: { lossDifference?: number }
  trainedTokens?: number
  tokensPerSecond?: number
  secondsLeft?: number
  /** What a kill would lose now: done since the newest checkpoint. Seconds count from the attempt's start before the first one. */
  unsaved?: Lost
  /** The newest one that this attempt has saved. */
  checkpoint?: { step: number; bytes: number; seconds: number }
  /** Added by the worker to what its stage reports. */
  worker?: WorkerPlace
}

/** The machine that an attempt runs on. */
export interface WorkerPlace {
  /** The host's name: on a cluster, the pod's. */
  host: string
  /** The cluster's node. */
  node?: string
}
