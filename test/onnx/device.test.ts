import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { cudaProblems, gpuModels, loadingError } from '../../src/onnx/device.ts'
import { Graph } from '../../src/onnx/graph.ts'
import * as o from '../../src/onnx/ops.ts'
import { Session } from '../../src/onnx/session.ts'
import { InputError } from '../../src/errors.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { readStartAdapter } from '../../scripts/golden-files.ts'
import { goldenDir } from '../engine/tiny-engine.ts'

const hasCuda = cudaProblems().length === 0 && 'this machine has CUDA'
/** What is missing here, whatever it is: the libraries, the device or the platform. */
const MISSING =
  /libonnxruntime_providers_cuda\.so; install with npm rebuild|there is no NVIDIA device|linux-x64 only/

function doubled() {
  const graph = new Graph()
  const x = graph.input('x', 'float32', [2])
  return { graph, inputs: new Map([['x', x]]), outputs: new Map([['y', o.add(x, x)]]) }
}

test(
  'a session on CUDA where there is none: one error that names what is missing',
  { skip: hasCuda },
  async () => {
    await assert.rejects(Session.create(doubled(), { threads: 1, device: 'cuda' }), (error) => {
      assert.ok(error instanceof InputError)
      assert.match(error.message, /^device cuda: /)
      assert.match(error.message, MISSING)
      assert.match(error.message, /or choose device cpu$/)
      return true
    })
  },
)

test(
  'an engine on CUDA where there is none fails in the same words before it loads anything',
  { skip: hasCuda },
  async () => {
    const dir = goldenDir('tiny-qwen2')
    const { config, weights, close } = openBaseModel(dir)
    const options = { config, weights, adapter: readStartAdapter(dir), threads: 1, device: 'cuda' as const }
    const weightless = { ...weights, infos: new Map(), float32: () => assert.fail('weights were read') }
    await assert.rejects(createEngine({ ...options, weights: weightless, layout: 'whole' }), {
      name: 'InputError',
      message: MISSING,
    })
    await assert.rejects(createEngine({ ...options, layout: 'by-layer' }), {
      name: 'InputError',
      message: /layout by-layer is made for device cpu/,
    })
    close()
  },
)

test('npm run test:gpu without a GPU says what is missing and does not pass', { skip: hasCuda }, () => {
  const main = fileURLToPath(new URL('../gpu/main.ts', import.meta.url))
  const { status, stderr } = spawnSync(process.execPath, [main], { encoding: 'utf8' })
  assert.equal(status, 77)
  assert.match(stderr, /NOT RUN/)
  assert.match(stderr, MISSING)
})

test("the GPUs' models are what the driver says", (t) => {
  const gpus = mkdtempSync(join(tmpdir(), 'temper-gpus-'))
  t.after(() => rmSync(gpus, { recursive: true }))
  assert.deepEqual(gpuModels(join(gpus, 'none')), [])
  assert.ok(cudaProblems(gpus).some((problem) => /no NVIDIA device|linux-x64/.test(problem)))
  mkdirSync(join(gpus, '0000:01:00.0'))
  writeFileSync(join(gpus, '0000:01:00.0', 'information'), 'Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 5\n')
  assert.deepEqual(gpuModels(gpus), ['NVIDIA H100 80GB HBM3'])
  assert.ok(!cudaProblems(gpus).some((problem) => /no NVIDIA device/.test(problem)))
})

test('a provider that cannot be loaded is the same kind of error; others stay what they are', () => {
  const words = 'OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library'
  const told = loadingError('cuda', new Error(words)) as Error
  assert.ok(told instanceof InputError)
  assert.match(told.message, /libraries of CUDA 12 and cuDNN 9 \(.*Failed to load shared library\)/)
  const other = new Error('CUDA failure 2: out of memory')
  assert.equal(loadingError('cuda', other), other)
  assert.notEqual(loadingError('cpu', new Error(words)), undefined)
  assert.ok(!(loadingError('cpu', new Error(words)) instanceof InputError))
})
