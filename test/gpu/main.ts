import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cudaProblems, gpuModels } from '../../src/onnx/device.ts'

/** What automake's tests exit with when they were skipped: neither passed nor failed. */
const NOT_RUN = 77

/**
 * npm run test:gpu: golden values, exact resume and the bench on a CUDA device. Where there is none, it says what is missing and ends
 * with code 77, so that nobody takes it for passed.
 */
const root = fileURLToPath(new URL('../..', import.meta.url))
const problems = cudaProblems()
if (problems.length > 0) {
  console.error('The GPU tests were NOT RUN on this machine:')
  for (const problem of problems) console.error(`- ${problem}`)
  process.exitCode = NOT_RUN
} else {
  console.log(`on ${gpuModels().join(', ')}`)
  const run = (args: string[]): boolean =>
    spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status === 0
  const tests = globSync('test/gpu/*.gpu.ts', { cwd: root })
  const bench = ['bench/main.ts', 'train', '--model', 'qwen2.5-0.5b', '--layout', 'whole', '--device', 'cuda', '--mode', 'exact,fp16,bf16', '--json'] // prettier-ignore
  if (!run(['--test', ...tests]) || !run(bench)) process.exitCode = 1
}
