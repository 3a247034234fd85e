import { cpus } from 'node:os'
import { env } from 'onnxruntime-node'

/**
 * What the last bit of a sum depends on, beside the job itself. Recorded in every checkpoint: a job that goes on where all of
 * this is equal ends with the same bits, elsewhere with almost the same.
 */
export interface Environment {
  runtime: string
  node: string
  platform: string
  /** The processor's name stands for its instruction set, by which ONNX Runtime chooses its kernels. */
  processor: string
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
    threads: settings.threads,
    layout: settings.layout,
    seed: settings.seed,
    microBatchRows: settings.perDeviceTrainBatchSize,
  }
}

/** The fields in which two environments differ, by name. */
export function differences(a: Environment, b: Environment): (keyof Environment)[] {
  return (Object.keys(a) as (keyof Environment)[]).filter((key) => a[key] !== b[key])
}
