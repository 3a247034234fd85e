import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import * as errors from '../../src/errors.ts'
import { Graph } from '../../src/onnx/graph.ts'
import { matmul } from '../../src/onnx/ops.ts'
import { Session, tensor } from '../../src/onnx/session.ts'
import { EXIT, type ExitName, errorOfExit, exitCodeOf, exitNameOf } from '../../src/train/exit-codes.ts'

const classes = [
  ['input', errors.InputError],
  ['notFinite', errors.NonFiniteError],
  ['outOfMemory', errors.OutOfMemoryError],
  ['fenced', errors.FencedError],
  ['transient', errors.TransientError],
  ['stopped', errors.StoppedError],
  ['corrupt', errors.CorruptError],
] as const

for (const [name, ErrorClass] of classes)
  test(`${ErrorClass.name} crosses the process boundary as ${EXIT[name]} and comes back as itself`, () => {
    const code = exitCodeOf(new ErrorClass('why'))
    assert.equal(code, EXIT[name])
    const back = errorOfExit(exitNameOf(code) as Exclude<ExitName, 'finished'>, 'why', 'evidence')
    assert.ok(back instanceof ErrorClass)
    assert.equal(back.message, 'why')
    assert.equal(back.cause, 'evidence')
  })

const outOfMemory = [
  'std::bad_alloc',
  'Non-zero status code returned while running MatMul node. Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool) Failed to allocate memory for requested buffer of size 17179869184',
  'bfc_arena.cc:342 Available memory of 1048576 is smaller than requested bytes of 4194304',
  'CUDA failure 2: out of memory',
  'RangeError: Array buffer allocation failed',
  'spawn ENOMEM',
]
for (const text of outOfMemory)
  test(`out of memory: ${text.slice(0, 60)}`, () =>
    assert.equal(exitCodeOf(new Error(text)), EXIT.outOfMemory))

test('any other error is a defect of ours', () => {
  assert.equal(exitCodeOf(new Error('cannot read properties of undefined')), EXIT.internal)
  assert.equal(exitCodeOf(new TypeError('x is not a function')), EXIT.internal)
  assert.equal(exitNameOf(1), 'internal')
})

test('a tensor that ONNX Runtime cannot allocate is out of memory', async () => {
  // The product has 2^48 bytes: more than the address space of any machine.
  const n = 2 ** 23
  const graph = new Graph()
  const x = graph.input('x', 'float32', [n, 1])
  const y = graph.input('y', 'float32', [1, n])
  const outputs = new Map([['z', matmul(x, y)]])
  const session = await Session.create(
    { graph, inputs: new Map(Object.entries({ x, y })), outputs },
    { threads: 1 },
  )
  const data = new Float32Array(n)
  const feeds = new Map([
    ['x', tensor('float32', data, [n, 1])],
    ['y', tensor('float32', data, [1, n])],
  ])
  await assert.rejects(session.run(feeds), (error) => exitCodeOf(error) === EXIT.outOfMemory)
  await session.dispose()
})

test('the documented table is the one in the code', async () => {
  const page = await readFile(new URL('../../docs/training-child.md', import.meta.url), 'utf8')
  const documented = Array.from(page.matchAll(/^\|\s*(\d+)\s*\|\s*(\w+)\s*\|/gm), ([, code, name]) => [
    name,
    Number(code),
  ])
  assert.deepEqual(Object.fromEntries(documented), EXIT)
})
