import type { FailureKind } from './failure-kind.ts'

/** CUDA's, cuBLAS's and cuDNN's words, by what they mean for the job. The first that matches counts. */
const CUDA_ERRORS: readonly { words: RegExp; kind: FailureKind }[] = [
  {
    words:
      /CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|CUDA (?:error|failure)[^\n]*out of memory|CU(?:BLAS|DNN)_STATUS_ALLOC_FAILED/i,
    kind: 'outOfMemory',
  },
  {
    words:
      /uncorrectable ECC error|cudaErrorECCUncorrectable|CUDA_ERROR_ECC_UNCORRECTABLE|fallen off the bus|no CUDA-capable device|CUDA_ERROR_NO_DEVICE|cudaErrorNoDevice|cudaErrorDevicesUnavailable|CUDA_ERROR_DEVICE_UNAVAILABLE|all CUDA-capable devices are busy or unavailable|CUDA_ERROR_SYSTEM_NOT_READY|cudaErrorSystemNotReady/i,
    kind: 'hardware',
  },
  {
    words:
      /an illegal memory access|CUDA_ERROR_ILLEGAL_ADDRESS|cudaErrorIllegalAddress|unspecified launch failure|CUDA_ERROR_LAUNCH_FAILED|cudaErrorLaunchFailure|device-side assert|misaligned address|an illegal instruction was encountered/i,
    kind: 'gpuFault',
  },
  {
    words:
      /CUDA driver version is insufficient|cudaErrorInsufficientDriver|no kernel image is available|forward compatibility was attempted on non supported HW/i,
    kind: 'input',
  },
]

/** What a text says of a CUDA device, with the words themselves; undefined where it says nothing. */
export function cudaErrorIn(text: string): { kind: FailureKind; words: string } | undefined {
  for (const { words, kind } of CUDA_ERRORS) {
    const found = words.exec(text)
    if (found) return { kind, words: found[0] }
  }
  return undefined
}
