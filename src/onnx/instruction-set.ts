import { cpus } from 'node:os'
import { kernelFile } from '../kernel-file.ts'

/** What ONNX Runtime's kernels are chosen by, as Linux names it for x86 and Arm. */
const FEATURES =
  /^(avx|avx2|fma|f16c|avx_vnni|avx512\w*|amx_\w+|asimd|asimdhp|asimddp|i8mm|bf16|svei8mm|sve|sve2|sme|sme2)$/

/** The processor's vector instructions, sorted; its name where the system does not list them. */
export function instructionSet(cpuinfo = '/proc/cpuinfo'): string {
  const listed = /^(?:flags|Features)\s*:(.*)$/m.exec(kernelFile(cpuinfo) ?? '')?.[1]
  const features = listed?.split(' ').filter((name) => FEATURES.test(name)) ?? []
  return features.length > 0 ? features.toSorted().join(' ') : (cpus()[0]?.model ?? process.arch)
}

/**
 * Whether products of 8-bit numbers have instructions of their own. Without them they are no faster than float32, and on x86 they may
 * be wrong: AVX2's sum of two products has 16 bits, in which the largest do not fit.
 */
export function hasInt8Products(features = instructionSet()): boolean {
  return /\b(avx512_vnni|avx512vnni|avx_vnni|amx_int8|asimddp|i8mm)\b/.test(features)
}
