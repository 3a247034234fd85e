import { cpus } from 'node:os'
import { env } from 'onnxruntime-node'
import { temperVersion } from '../temper-version.ts'
import { instructionSet } from './instruction-set.ts'

/**
 * What the last bit of a sum depends on, beside the job itself. Recorded in every checkpoint: a job that goes on where all of
 * this is equal ends with the same bits, elsewhere with almost the same.
 */
export interface Environment {
  runtime: string
  node: string
  platform: string
  processor: string
  /** By which ONNX Runtime chooses its kernels. Not known of checkpoints that are older than this field. */
  instructionSet?: string | undefined
  /** Temper's own version, whose graphs and loops say what is summed in which order. Not known of older checkpoints. */
  build?: string | undefined
  threads: number
  layout: string
  seed: number
  /** Rows of a micro-batch: a smaller one, for want of memory, sums in another order. */
  microBatchRows: number
}

export function thisEnvironment(settings: {
  threads: number
  layout: string
  seed: number
  perDeviceTrainBatchSize: number
}): Environment {
  return {
    runtime: `onnxruntime-node ${env.versions.node ?? env.versions.common}`,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    processor: cpus()[0]?.model ?? 'unknown',
    instructionSet: instructionSet(),
    build: `temper ${temperVersion()}`,
    threads: settings.threads,
    layout: settings.layout,
    seed: settings.seed,
    microBatchRows: settings.perDeviceTrainBatchSize,
  }
}

/** The fields that a recorded environment has and in which it differs from another, by name. */
export function differences(a: Environment, b: Environment): (keyof Environment)[] {
  return (Object.keys(a) as (keyof Environment)[]).filter((key) => a[key] !== b[key])
}
