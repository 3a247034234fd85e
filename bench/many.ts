import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openSession } from '../cli/session.ts'
import { startWorker } from '../cli/worker-process.ts'
import { jobIdOf } from '../jobs/job-id.ts'
import { startJob } from '../jobs/start-job.ts'
import { downloadCache } from '../src/local/state-folder.ts'
import { parseFineTune } from '../src/spec/parse-fine-tune.ts'
import { writeTinyModel } from '../test/support/tiny-model.ts'
import { type FineTuneJob, trainingWorkflowId } from '../workflows/job.ts'
import { CPU_TRAINING_QUEUE } from '../workflows/queues.ts'
import { type JobTimes, jobTimes, median, sum } from './job-times.ts'
import { cpuOf } from './cpu-of.ts'
import { memoryOf } from './memory-of.ts'

const OPTIONS = {
  /** How many at once. */
  jobs: { type: 'string', default: '500' },
  /** One after another on the idle worker, before: what a job takes that waits for nobody. */
  alone: { type: 'string', default: '10' },
  /** Training steps of a job: 0 is a rehearsal. More of them show that a history has no events of steps. */
  steps: { type: 'string', default: '0' },
  json: { type: 'boolean', default: false },
} as const

const HEARTBEAT_SECONDS = 60
const ROWS = 12
const LOOK_EVERY_MILLISECONDS = 1000
const SUBMIT_AT_ONCE = 20

/**
 * Many small jobs on one Temporal server and one worker, started as the command starts them. Each has rows of its own and a
 * tiny model, and is by default a rehearsal (maxSteps 0): every stage works, and none of it is training. What is left is Temper's own time.
 */
export async function benchMany(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: OPTIONS })
  const [jobs, alone, steps] = [Number(values.jobs), Number(values.alone), Number(values.steps)]
  const folder = await mkdtemp(join(tmpdir(), 'temper-many-'))
  process.env['TEMPER_HOME'] = join(folder, 'home')
  // As bin/temper.js has it: what its processes compile they compile once.
  process.env['NODE_COMPILE_CACHE'] ??= join(downloadCache(process.env), 'compiled')
  delete process.env['TEMPORAL_ADDRESS']
  delete process.env['TEMPER_STORE']
  await writeTinyModel(join(folder, 'model'))
  const session = await openSession({ command: 'bench many', say: (message) => console.error(message) })
  const worker = startWorker(session, (message) => console.error(message))
  try {
    await worker.ready
    const { client } = session
    const pid = worker.pid() ?? 0
    const begin = async (name: string, index: number): Promise<void> => {
      const job = await jobOf(folder, name, index, steps)
      await startJob(client, job, { name, specDigest: name, again: false })
    }
    // Not counted: what the first job of a worker's life loads and compiles.
    await begin('warm', -1)
    await client.workflow.getHandle(jobIdOf('warm')).result()
    for (let index = 0; index < alone; index++) {
      await begin(`alone-${index}`, index)
      await client.workflow.getHandle(jobIdOf(`alone-${index}`)).result()
    }
    const memory = [memoryOf(pid)]
    const cpuBefore = cpuOf(pid)
    const startedAt = Date.now()
    const names = Array.from({ length: jobs }, (_, index) => `many-${index}`)
    for (let at = 0; at < jobs; at += SUBMIT_AT_ONCE)
      await Promise.all(names.slice(at, at + SUBMIT_AT_ONCE).map((name, i) => begin(name, 1000 + at + i)))
    const submitted = (Date.now() - startedAt) / 1000
    for (;;) {
      const { count } = await client.workflow.count(
        "WorkflowType = 'fineTune' AND ExecutionStatus = 'Running'",
      )
      memory.push(memoryOf(pid))
      if (count === 0) break
      await sleep(LOOK_EVERY_MILLISECONDS)
    }
    const seconds = (Date.now() - startedAt) / 1000
    const cpu = cpuOf(pid)
    const times: JobTimes[] = []
    for (let index = 0; index < alone; index++) times.push(await jobTimes(client, jobIdOf(`alone-${index}`)))
    const events: number[] = []
    for (const name of names) {
      const handle = client.workflow.getHandle(jobIdOf(name))
      // Rejects where a job has failed: a figure of jobs that did not run is none.
      await handle.result()
      const child = await client.workflow.getHandle(trainingWorkflowId(jobIdOf(name))).describe()
      events.push((await handle.describe()).historyLength + child.historyLength)
    }
    const stages = Object.keys(times[0]?.stages ?? {})
    const line = {
      bench: 'many',
      jobs,
      steps,
      seconds: round(seconds),
      submittedIn: round(submitted),
      jobsPerMinute: round((jobs / seconds) * 60),
      aloneSeconds: round(median(times.map(({ total }) => total))),
      inStages: round(median(times.map(({ stages }) => sum(Object.values(stages))))),
      ownSeconds: round(median(times.map(({ total, stages }) => total - sum(Object.values(stages))))),
      stages: Object.fromEntries(
        stages.map((name) => [name, round(median(times.map(({ stages }) => stages[name] ?? 0)))]),
      ),
      /** A job's CPU seconds: in the worker's process, and in the children of its stages. */
      cpuSeconds: {
        worker: round((cpu.own - cpuBefore.own) / jobs),
        children: round((cpu.children - cpuBefore.children) / jobs),
      },
      events: [Math.min(...events), Math.max(...events)],
      workerMiB: {
        before: memory[0],
        half: memory[memory.length >> 1],
        after: memory.at(-1),
        most: Math.max(...memory),
      },
    }
    if (values.json) console.log(JSON.stringify(line))
    else console.log(line)
  } finally {
    await worker.stop()
    await session.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function jobOf(folder: string, name: string, index: number, maxSteps: number): Promise<FineTuneJob> {
  const rows = join(folder, 'rows', name)
  await mkdir(rows, { recursive: true })
  const line = (what: string, i: number) =>
    `${JSON.stringify({ prompt: `${what} ${index * ROWS + i} plus one?`, completion: `${index * ROWS + i + 1}.` })}\n`
  for (const [file, what] of [
    ['train.jsonl', 'What is'],
    ['eval.jsonl', 'And'],
  ] as const)
    await writeFile(join(rows, file), Array.from({ length: ROWS }, (_, i) => line(what, i)).join(''))
  const { spec } = parseFineTune(
    {
      apiVersion: 'temper.dev/v1alpha1',
      kind: 'FineTune',
      metadata: { name },
      spec: {
        model: { source: join(folder, 'model') },
        data: {
          train: [join(rows, 'train.jsonl')],
          eval: [join(rows, 'eval.jsonl')],
          maxLength: 128,
        },
        train: { r: 4, maxSteps, threads: 1 },
        eval: { samples: 1, maxNewTokens: 8 },
        // Random weights lose more by eight bits than a trained model's do.
        quantize: { maxLossIncrease: 100 },
      },
    },
    'the bench',
  )
  return {
    jobId: jobIdOf(name),
    spec,
    trainingQueue: CPU_TRAINING_QUEUE,
    heartbeatSeconds: HEARTBEAT_SECONDS,
    searchAttributes: false,
  }
}

const round = (value: number) => Math.round(value * 100) / 100
