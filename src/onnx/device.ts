import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { InputError } from '../errors.ts'

/** What ONNX Runtime runs a graph on. */
export type Device = 'cpu' | 'cuda'

/** Not in the npm package, since they are too large for it; its own installer fetches them. */
const CUDA_LIBRARIES = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so']
const INSTALL = 'npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12'
/** NVIDIA's driver lists its devices here. */
const GPUS = '/proc/driver/nvidia/gpus'

/** What this machine lacks for CUDA, each with its mend; empty where all is there that can be seen without loading it. */
export function cudaProblems(gpus = GPUS): string[] {
  const { platform, arch } = process
  if (platform !== 'linux' || arch !== 'x64')
    return [`ONNX Runtime has CUDA for Node on linux-x64 only, and this is ${platform}-${arch}`]
  const folder = libraryFolder()
  const lacking = CUDA_LIBRARIES.filter((library) => !existsSync(join(folder, library)))
  return [
    ...(lacking.length > 0
      ? [`onnxruntime-node lacks ${lacking.join(' and ')}; install with ${INSTALL}`]
      : []),
    ...(gpuModels(gpus).length === 0
      ? [
          `there is no NVIDIA device in ${gpus}; use a machine with a GPU, NVIDIA's driver and, in a container, its runtime`,
        ]
      : []),
  ]
}

/** The models of NVIDIA's devices, by what the driver says of each. */
export function gpuModels(gpus = GPUS): string[] {
  if (!existsSync(gpus)) return []
  return readdirSync(gpus).map((place) => {
    const said = readFileSync(join(gpus, place, 'information'), 'utf8')
    return /^Model:\s*(.+)$/m.exec(said)?.[1]?.trim() ?? 'unknown'
  })
}

/** ONNX Runtime's name of the device. InputError where a device cannot be had. */
export function executionProviders(device: Device): Device[] {
  if (device === 'cpu') return ['cpu']
  const problems = cudaProblems()
  if (problems.length > 0) throw new InputError(`device cuda: ${problems.join('; ')}; or choose device cpu`)
  // cuBLAS would round float32 to 10 bits in every product, and onnxruntime-node has no option against it. NVIDIA's libraries read this
  // when the first session loads them.
  process.env['NVIDIA_TF32_OVERRIDE'] = '0'
  return ['cuda']
}

/** What ONNX Runtime says where a library of the provider, or one that this needs, is not found. It names none. */
export function loadingError(device: Device, error: unknown): unknown {
  if (device === 'cpu' || !(error instanceof Error) || !/Failed to load shared library/.test(error.message))
    return error
  return new InputError(
    `device cuda: ONNX Runtime cannot load its CUDA provider; it needs the libraries of CUDA 12 and cuDNN 9 (${error.message}); install them, or choose device cpu`,
    { cause: error },
  )
}

function libraryFolder(): string {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node/package.json')
  return join(dirname(main), 'bin', 'napi-v6', process.platform, process.arch)
}
