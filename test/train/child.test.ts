import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { FencedError, InputError, NonFiniteError, StoppedError, TransientError } from '../../src/errors.ts'
import { readAdapter } from '../../src/export/read-adapter.ts'
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { identifyProcess } from '../../src/local/process-identity.ts'
import { acquireLease } from '../../src/store/lease.ts'
import { hasInt8Products } from '../../src/onnx/instruction-set.ts'
import type { ChildEvidence } from '../../src/train/run-child.ts'
import { STALL_LIMITS } from '../../src/train/stall-watch.ts'
import type { TrainSettings } from '../../src/train/train-settings.ts'
import type { TrainingRecord } from '../../src/train/training-state.ts'
import { trainStage } from '../../src/train/train-stage.ts'
import { type Attempt, TINY_MODEL, TINY_STEPS, TinyTraining, writeTinyRows } from './tiny-training.ts'

let undisturbed: Attempt
before(async () => {
  undisturbed = await (await TinyTraining.create({ after })).attempt()
})

/** A metric line without the times, which no run shares with another. */
const untimed = ({ metrics }: Attempt) => metrics.map((line) => ({ ...line, seconds: 0 }))

function assertSame(attempt: Attempt): void {
  assert.ok(attempt.adapter.equals(undisturbed.adapter), 'the adapter is not that of the undisturbed run')
  assert.deepEqual(untimed(attempt), untimed(undisturbed))
  assert.equal(attempt.summary.exact, true)
  assert.equal(attempt.summary.trainedTokens, undisturbed.summary.trainedTokens)
  assert.equal(attempt.summary.firstLoss, undisturbed.summary.firstLoss)
}

/** Kills the child of a running attempt with this signal as soon as it reports this step; the error that comes of it. */
async function killAt(
  training: TinyTraining,
  step: number,
  signal: NodeJS.Signals,
  change: Partial<TrainSettings> = {},
): Promise<Error> {
  let killed = false
  const onProgress = (progress: { step: number; phase: string }) => {
    if (killed || progress.phase !== 'train' || progress.step < step) return
    killed = true
    process.kill(training.pid(), signal)
  }
  return training.attempt({ onProgress }, change).then(
    () => assert.fail(`the child ended before it was killed at step ${step}`),
    (error: Error) => error,
  )
}

test('a training leaves an adapter, its metrics, and nothing else', async (t) => {
  const training = await TinyTraining.create(t)
  const stage = await training.stage()
  const { files, summary } = await trainStage(stage, training.options())
  assert.deepEqual(files.toSorted(), ['adapter_config.json', 'adapter_model.safetensors', 'metrics.jsonl'])
  assert.equal(summary.steps, TINY_STEPS)
  assert.equal(summary.epochs, 16)
  assert.ok(Number(summary.lastLoss) < Number(summary.firstLoss))
  const adapter = readAdapter(stage.outDir)
  assert.equal(adapter.config.r, 4)
  assert.equal(adapter.tensors.size, 3 * 7 * 2)
  assert.deepEqual(await readdir(stage.scratchDir), ['child.json'])
  assertSame({
    ...undisturbed,
    summary,
    adapter: await readFile(join(stage.outDir, 'adapter_model.safetensors')),
  })
  assert.equal(identifyProcess(training.pid()), undefined)
})

test('killed with SIGKILL at three steps, the job ends with the same adapter, bit for bit', async (t) => {
  const training = await TinyTraining.create(t)
  for (const step of [6, 19, 31]) {
    const error = await killAt(training, step, 'SIGKILL')
    assert.ok(error instanceof TransientError)
    const evidence = error.cause as ChildEvidence
    assert.equal(evidence.signal, 'SIGKILL')
    assert.equal(evidence.stalled, undefined)
    assert.ok((evidence.progress?.step as number) >= step)
  }
  const last = await training.attempt()
  assert.ok((last.summary.resumedFromStep as number) >= 4)
  assertSame(last)
})

test('fast, killed with SIGKILL: the resumed run finds the same smoothing factors, and the same adapter', async (t) => {
  const fast = { precision: 'fast', maxSteps: 12 } as const
  const whole = await (await TinyTraining.create(t)).attempt({}, fast)
  assert.ok(!whole.adapter.equals(undisturbed.adapter))
  const training = await TinyTraining.create(t)
  const onCheckpoint = () => void process.kill(training.pid(), 'SIGKILL')
  await assert.rejects(training.attempt({ onCheckpoint }, fast), TransientError)
  const last = await training.attempt({}, fast)
  assert.ok((last.summary.resumedFromStep as number) >= 4)
  assert.ok(last.adapter.equals(whole.adapter))
  assert.deepEqual(untimed(last), untimed(whole))
})

test('auto chooses once: a resume goes on in the precision that the first attempt chose', async (t) => {
  const training = await TinyTraining.create(t)
  // 100 rows of 14 tokens: 512 to calibrate on, 512 to compare, and epochs enough to be worth it.
  await writeTinyRows(join(training.dir, 'tokenized'), 100)
  const auto = { numTrainEpochs: 16 }
  const onCheckpoint = () => void process.kill(training.pid(), 'SIGKILL')
  await assert.rejects(training.attempt({ onCheckpoint }, auto), TransientError)
  const told = () => training.logs.filter(({ message }) => message.startsWith('precision '))
  const chosen = hasInt8Products() ? 'fast' : 'exact'
  assert.match(told()[0]?.message ?? '', new RegExp(`^precision ${chosen}: `))
  await assert.rejects(
    training.attempt(
      {
        onProgress: ({ step }) => {
          if (step >= 12) process.kill(training.pid(), 'SIGTERM')
        },
      },
      auto,
    ),
    StoppedError,
  )
  assert.equal(told().length, 1)
  const states = (await training.keys('/state.json')).toSorted()
  const state = await readFile(join(training.dir, 'store', states.at(-1) as string), 'utf8')
  assert.equal((JSON.parse(state) as TrainingRecord).precision?.chosen, chosen)
})

test('asked to stop, the child saves its last step and the next attempt goes on from it', async (t) => {
  const training = await TinyTraining.create(t)
  const stop = new AbortController()
  let checkpointed = 0
  const onProgress = ({ step }: { step: number }) => void (step >= 10 && stop.abort('the test wants it'))
  const onCheckpoint = ({ step }: { step: number }) => void (checkpointed = step)
  await assert.rejects(training.attempt({ signal: stop.signal, onProgress, onCheckpoint }), StoppedError)
  assert.ok(checkpointed >= 10)
  const resumed = await training.attempt()
  assert.equal(resumed.summary.resumedFromStep, checkpointed)
  assertSame(resumed)
})

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  test(`${signal} is a request to stop`, async (t) => {
    const training = await TinyTraining.create(t)
    assert.ok((await killAt(training, 10, signal)) instanceof StoppedError)
    assertSame(await training.attempt())
  })

test('a signal that was aborted before starts nothing', async (t) => {
  const training = await TinyTraining.create(t)
  await assert.rejects(training.attempt({ signal: AbortSignal.abort() }), StoppedError)
  assert.deepEqual(training.logs, [])
})

test('a corrupt newest checkpoint is set aside for the one before it', async (t) => {
  const training = await TinyTraining.create(t)
  for (let attempt = 0; attempt < 2; attempt++) {
    const onCheckpoint = () => void process.kill(training.pid(), 'SIGKILL')
    await assert.rejects(training.attempt({ onCheckpoint }), TransientError)
  }
  const newest = (await training.keys('/state.safetensors')).toSorted().at(-1) as string
  const path = join(training.dir, 'store', newest)
  const bytes = await readFile(path)
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1
  await writeFile(path, bytes)
  const resumed = await training.attempt()
  const newestStep = Number(/checkpoints\/(\d+)-/.exec(newest)?.[1])
  assert.ok((resumed.summary.resumedFromStep as number) < newestStep)
  assert.ok(
    training.logs.some(({ level, message }) => level === 'warn' && /checkpoint set aside/.test(message)),
  )
  assertSame(resumed)
})

test('a hung child is killed as stalled, and the job goes on', async (t) => {
  const training = await TinyTraining.create(t)
  const stallLimits = { ...STALL_LIMITS, firstSteps: 1500, floor: 1500 }
  const hang = ({ step }: { step: number }) => void (step >= 10 && process.kill(training.pid(), 'SIGSTOP'))
  await assert.rejects(training.attempt({ stallLimits, onProgress: hang }), (error) => {
    assert.ok(error instanceof TransientError)
    const { stalled, signal } = error.cause as ChildEvidence
    // Quick as it is, it may have come to the evaluation after step 16 before the signal reached it.
    assert.match(String(stalled?.phase), /^(train|evaluate)$/)
    assert.equal(signal, 'SIGKILL')
    return true
  })
  assertSame(await training.attempt())
})

test('a child that does not stop within its grace is killed', async (t) => {
  const training = await TinyTraining.create(t)
  const stop = new AbortController()
  const onProgress = ({ step }: { step: number }) => {
    if (step < 10) return
    process.kill(training.pid(), 'SIGSTOP')
    stop.abort('the test')
  }
  await assert.rejects(
    training.attempt({ signal: stop.signal, stopGrace: 300, onProgress }),
    (error) => error instanceof TransientError && (error.cause as ChildEvidence).signal === 'SIGKILL',
  )
})

test('kill -9 of the parent: the orphan ends at once, and the next attempt goes on exactly', async (t) => {
  const training = await TinyTraining.create(t)
  const stage = await training.stage()
  const config = join(training.dir, 'parent.json')
  const { store: _, ...rest } = stage
  await writeFile(config, JSON.stringify({ ...rest, storeUri: stage.store.uri }))
  const script = fileURLToPath(new URL('parent-process.ts', import.meta.url))
  const parent = spawn(process.execPath, [script, config], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => parent.kill('SIGKILL'))
  let pid = 0
  for await (const line of createInterface({ input: parent.stdout })) {
    const [, word, value] = /^(\w+) (\d+)$/.exec(line) ?? []
    if (word === 'pid') pid = Number(value)
    if (word === 'step' && Number(value) >= 10) break
  }
  assert.ok(identifyProcess(pid), 'the child runs')
  parent.kill('SIGKILL')
  // Each look is a tenth of a second; the child has until then to be gone.
  for (let look = 0; identifyProcess(pid) && look < 50; look++) await sleep(100)
  assert.equal(identifyProcess(pid), undefined, 'the orphan still runs')
  assert.deepEqual(await readdir(stage.outDir), [])
  assertSame(await training.attempt())
})

test('a child whose lease another attempt has taken writes nothing more and ends as fenced', async (t) => {
  const training = await TinyTraining.create(t)
  let taken: Promise<unknown> | undefined
  const onProgress = ({ step }: { step: number }) => {
    if (step >= 10) taken ??= acquireLease(training.store, 'tiny', 'another')
  }
  const stage = await training.stage()
  await assert.rejects(trainStage(stage, training.options({ onProgress })), FencedError)
  await taken
  assert.deepEqual(await readdir(stage.outDir), [])
})

test('resumed with other threads, the job ends and says that it is not exact', async (t) => {
  const training = await TinyTraining.create(t)
  await killAt(training, 20, 'SIGTERM')
  const resumed = await training.attempt({}, { threads: 2 })
  assert.equal(resumed.summary.exact, false)
  assert.equal(resumed.summary.steps, TINY_STEPS)
  assert.ok(training.logs.some(({ message }) => /another environment \(threads\)/.test(message)))
})

test('what the user must mend arrives as one sentence, without a stack', async (t) => {
  const training = await TinyTraining.create(t)
  const stage = await training.stage({}, { modelPath: join(training.dir, 'nowhere') })
  await assert.rejects(trainStage(stage, training.options()), (error) => {
    assert.ok(error instanceof InputError)
    assert.match(error.message, /nowhere/)
    assert.doesNotMatch(error.message, /\n|Error:/)
    assert.equal((error.cause as ChildEvidence).exitCode, 10)
    return true
  })
})

test('a model whose loss is not finite publishes nothing and saves nothing', async (t) => {
  const training = await TinyTraining.create(t)
  const broken = join(training.dir, 'broken')
  await cp(TINY_MODEL, broken, { recursive: true })
  const file = readSafetensors(join(TINY_MODEL, 'model.safetensors'))
  const tensors = Array.from(file.infos, ([name, { shape }]) => {
    const data = file.float32(name)
    if (name.endsWith('norm.weight') && !name.includes('layers')) data.fill(3e38)
    return { name, type: 'F32' as const, shape, data }
  })
  await writeSafetensors(join(broken, 'model.safetensors'), tensors)
  const stage = await training.stage(
    {
      checkpoint: { everySteps: 1, everySeconds: 1, keepLast: 2 },
      divergence: { lossFactor: 3, patience: 5, tries: 0 },
    },
    { modelPath: broken },
  )
  await assert.rejects(
    trainStage(stage, training.options()),
    (error) => error instanceof NonFiniteError && /step 1 .*row\d/.test(error.message),
  )
  assert.deepEqual(await readdir(stage.outDir), [])
  assert.deepEqual(await training.keys('/manifest.json'), [])
})
