import { cpus } from 'node:os'
import { env } from 'onnxruntime-node'
import { type Device, gpuModels } from '../onnx/device.ts'
import { temperVersion } from '../temper-version.ts'
import { instructionSet } from '../onnx/instruction-set.ts'

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
  /** The model of the GPU; missing where it is the CPU that trains. */
  device?: string | undefined
  seed: number
  /** Rows of a micro-batch: a smaller one, for want of memory, sums in another order. */
  microBatchRows: number
}

export function thisEnvironment(settings: {
  threads: number
  layout: string
  device?: Device
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
    ...(settings.device === 'cuda' && { device: gpuModels()[0] ?? 'unknown' }),
    seed: settings.seed,
    microBatchRows: settings.perDeviceTrainBatchSize,
  }
}

/** The fields that a recorded environment has and in which it differs from another, by name. */
export function differences(a: Environment, b: Environment): (keyof Environment)[] {
  const isDevice = a.device !== b.device
  const known = (Object.keys(a) as (keyof Environment)[]).filter((key) => a[key] !== b[key])
  // From a CPU to a GPU, where the recorded one has no such field.
  return isDevice && !known.includes('device') ? [...known, 'device'] : known
}
