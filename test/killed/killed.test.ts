import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { identifyProcess } from '../../src/local/process-identity.ts'
import {
  jsonIn,
  namesIn,
  type RunningCommand,
  type TemperFolder,
  temperFolder,
  until,
} from '../support/temper-cli.ts'

// kill -9 in the middle of training, of each process and of all. Whatever was killed, the job ends with the bits of an undisturbed run.

const NAME = 'killed'
const heartbeat = ['--heartbeat-timeout', '2']
/** Some seconds of training, with a checkpoint every few steps. */
const training = { train: { maxSteps: 500, checkpoint: { everySteps: 20, everySeconds: 60, keepLast: 2 } } }

describe('a job goes on bit for bit', { timeout: 600_000, concurrency: 2 }, () => {
  let undisturbed: string
  const folders: TemperFolder[] = []

  before(async () => {
    const folder = await newFolder()
    const { code, stdout, stderr } = await folder.temper('run', folder.job(NAME, training), '--json')
    assert.equal(code, 0, stderr)
    undisturbed = adapterDigest(stdout)
  })

  after(() => {
    for (const folder of folders) folder.remove()
  })

  async function newFolder(): Promise<TemperFolder> {
    const folder = await temperFolder()
    folders.push(folder)
    return folder
  }

  /** A running job that has saved a checkpoint and has not finished training. */
  async function trainingJob(folder: TemperFolder): Promise<RunningCommand> {
    const running = folder.start('run', folder.job(NAME, training), '--json', ...heartbeat)
    await until('a checkpoint', () => checkpoints(folder).length > 0, running.said)
    return running
  }

  test("after the trainer's process was killed, by itself", async () => {
    const folder = await newFolder()
    const running = await trainingJob(folder)
    process.kill(trainerOf(workerOf(folder)), 'SIGKILL')
    const { code, stdout, stderr } = await running.ended
    assert.equal(code, 0, stderr)
    assert.match(trainingLog(folder), /killed by SIGKILL/)
    assert.equal(adapterDigest(stdout), undisturbed)
    assertNothingLeft(folder)
  })

  test('after the worker was killed, by itself', async () => {
    const folder = await newFolder()
    const running = await trainingJob(folder)
    const worker = workerOf(folder)
    const trainer = trainerOf(worker)
    process.kill(worker, 'SIGKILL')
    const { code, stdout, stderr } = await running.ended
    assert.equal(code, 0, stderr)
    assert.match(stderr, /The worker was lost \(SIGKILL\); starting another one/)
    assert.match(stderr, /went on from step \d+/)
    assert.equal(adapterDigest(stdout), undisturbed)
    assert.equal(identifyProcess(trainer), undefined, 'the orphan has ended')
    assertNothingLeft(folder)
  })

  test('after everything was killed, with the same temper run', async () => {
    const folder = await newFolder()
    await killEverything(folder, await trainingJob(folder))
    const { code, stdout, stderr } = await folder.temper('run', `${NAME}.yaml`, '--json', ...heartbeat)
    assert.equal(code, 0, stderr)
    assert.match(stderr, /Job killed goes on where it was/)
    assert.match(stderr, /went on from step \d+/)
    assert.equal(adapterDigest(stdout), undisturbed)
    assertNothingLeft(folder)
  })

  test('after everything was killed, with the next temper up', async () => {
    const folder = await newFolder()
    await killEverything(folder, await trainingJob(folder))
    const up = folder.start('up')
    await until('temper up', () => up.said().includes('Serving jobs'), up.said)
    // Attaches to the job that the other process serves.
    const { code, stdout, stderr } = await folder.temper('run', `${NAME}.yaml`, '--json')
    assert.equal(code, 0, stderr)
    assert.equal(adapterDigest(stdout), undisturbed)
    up.child.kill('SIGINT')
    assert.equal((await up.ended).code, 0)
    assertNothingLeft(folder)
  })
})

async function killEverything(folder: TemperFolder, running: RunningCommand): Promise<void> {
  const worker = workerOf(folder)
  const server = jsonIn(join(folder.state, 'server.json')) as { pid: number }
  const pids = [running.child.pid, worker, trainerOf(worker), server.pid]
  for (const pid of pids) if (pid !== undefined) process.kill(pid, 'SIGKILL')
  await running.ended
  await until('the end of all', () =>
    pids.every((pid) => pid === undefined || identifyProcess(pid) === undefined),
  )
}

function adapterDigest(closingLine: string): string {
  const { artifacts } = JSON.parse(closingLine) as { artifacts: { adapter: string } }
  const bytes = readFileSync(join(artifacts.adapter, 'adapter_model.safetensors'))
  return createHash('sha256').update(bytes).digest('hex')
}

/** Names of the checkpoints that count: those that the job's pointer knows. */
function checkpoints(folder: TemperFolder): string[] {
  const training = join(folder.state, 'store', 'jobs', `finetune-${NAME}`, 'training')
  return namesIn(training).flatMap((digest) => {
    const pointer = jsonIn(join(training, digest, 'latest.json')) as { value: string[] } | undefined
    return pointer?.value ?? []
  })
}

function trainingLog(folder: TemperFolder): string {
  const logs = join(folder.state, 'store', 'jobs', `finetune-${NAME}`, 'logs', 'train')
  return namesIn(logs)
    .map((name) => readFileSync(join(logs, name), 'utf8'))
    .join('')
}

/** A worker's scratch folder is called like its process. */
function workerOf(folder: TemperFolder): number {
  const [pid] = namesIn(join(folder.state, 'cache', 'scratch'))
    .map(Number)
    .filter((pid) => identifyProcess(pid) !== undefined)
  assert(pid, 'a worker runs')
  return pid
}

function trainerOf(worker: number): number {
  const children = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((match) => Number(match?.[2]) === worker && match?.[3]?.includes('child.'))
  const pid = Number(children[0]?.[1])
  assert(pid, 'a trainer runs')
  return pid
}

function assertNothingLeft(folder: TemperFolder): void {
  assert.deepEqual(namesIn(join(folder.state, 'users')), [])
  assert.deepEqual(namesIn(join(folder.state, 'cache', 'scratch')), [])
  assert.equal(jsonIn(join(folder.state, 'server.json')), undefined)
  const args = execFileSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' })
  assert(!args.includes(folder.root), 'no process of the folder is left')
}
