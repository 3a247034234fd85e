import type { EvaluateSummary, EvaluateTask } from '../eval/evaluate-task.ts'
import type { TrainSummary, TrainTask } from './train-task.ts'

/** What a child process can be asked to do: one mechanism for every stage that blocks the event loop. */
export type ChildTask = TrainTask | EvaluateTask

/** What each task hands back: small numbers. Its files lie in the task's outDir. */
export interface ChildSummaries {
  train: TrainSummary
  evaluate: EvaluateSummary
}

/** Where the child is. Its age says whether the child still lives; its numbers are for people. */
export interface Progress {
  phase: 'load' | 'train' | 'checkpoint' | 'evaluate'
  /** train, and an evaluation within it: optimizer steps done. evaluate: batches and sample answers done, over all models. */
  step: number
  steps: number
  /** Within the step, or within the evaluation, that is running. */
  microBatch: number
  layer: number
  /** Mean loss of the last step's targets. */
  loss?: number
  learningRate?: number
  /** Before clipping. */
  gradientNorm?: number
  /** Of the newest evaluation during training, and the step of the best one. */
  evalLoss?: number
  bestStep?: number
  /** A part was computed in another environment: by how much the first loss there differed from the recorded one, relative to it. */
  inexact?: { lossDifference?: number }
  /** Tokens of the rows, padding not counted. */
  trainedTokens: number
  tokensPerSecond?: number
  secondsLeft?: number
}

export interface LogLine {
  level: 'info' | 'warn' | 'error'
  message: string
  /** Ids and numbers; never a row's text. */
  fields: Record<string, unknown>
}

/** A checkpoint that is in the store. */
export interface SavedCheckpoint {
  step: number
  bytes: number
  /** From the copied state to the moved pointer. */
  seconds: number
}

/** Child to parent. */
export type ChildMessage =
  | ({ type: 'progress' } & Progress)
  | ({ type: 'checkpoint' } & SavedCheckpoint)
  | ({ type: 'log' } & LogLine)
  | { type: 'finished'; summary: ChildSummaries[keyof ChildSummaries] }
  | { type: 'failed'; exitCode: number; message: string }

/** Parent to child. */
export interface ParentMessage {
  type: 'stop'
  reason: string
}
