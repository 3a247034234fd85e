import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultPayloadConverter } from '@temporalio/client'
import { jobIdOf } from '../../jobs/job-id.ts'
import { findJob } from '../../jobs/job-view.ts'
import { downloadCache } from '../../src/local/state-folder.ts'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { type JobLogLine, jobLogReader } from '../../src/stages/job-log.ts'
import type { FineTuneSummary } from '../../src/stages/fine-tune-summary.ts'
import type { StageProgress } from '../../src/stages/stage-progress.ts'
import type { TrainSummary } from '../../src/train/train-task.ts'
import type { fineTune } from '../../workflows/fine-tune.ts'
import type { FailureCounts } from '../../src/failures/failure-details.ts'
import {
  ATTEMPTS_MEMO,
  type FineTuneJob,
  type TrainingAttempts,
  trainingWorkflowId,
} from '../../workflows/job.ts'
import { CONTROL_QUEUE, CPU_TRAINING_QUEUE } from '../../workflows/queues.ts'
import { type S3Proxy, s3Proxy } from '../store/support/s3-proxy.ts'
import type { Lane } from './lane.ts'
import { within } from './limit.ts'
import { BUCKET, type Surroundings } from './surroundings.ts'
import { SupervisedWorker } from './worker-process.ts'

/** What the heartbeats of training have shown, by the clock of this process. */
export interface Sample {
  at: number
  /** Differs between attempts. */
  activity: string
  progress: StageProgress
}

const LOOK_MILLISECONDS = 25
/** Between two questions to the server: heartbeats travel once a second. */
const WATCH_MILLISECONDS = 100
/** One question to the server or the store, its retries included. */
const ANSWER_SECONDS = 60

export interface FaultJobOptions {
  /** Of this case among all: its store, its folders and its job are called so. */
  name: string
  heartbeatSeconds: number
  steps: number
  checkpoint?: { everySteps: number; everySeconds: number; keepLast: number }
  /** Fields of spec.train beside those of every case. */
  train?: Record<string, unknown>
  /** Rows other than those of every case: the text of a JSON Lines file. */
  rows?: string
  /** With every stage that there is; other jobs write no quantised file and answer no question. */
  isWhole?: boolean
  /** With rows of up to 1024 tokens, evaluated one by one. */
  isLong?: boolean
  /** Seconds for the whole run, far beyond what it needs: reaching it is a failure, never a measurement. */
  limitSeconds: number
}

/**
 * One small job in a store of its own, behind a proxy of its own, with one worker or several. Everything is the product's:
 * its worker's process, its workflows, its store on a real S3 server.
 */
export class FaultJob {
  readonly name: string
  readonly lane: Lane
  readonly proxy: S3Proxy
  /** Past the proxy. */
  readonly store: Store
  readonly root: string
  readonly samples: Sample[] = []
  readonly #place: Surroundings
  readonly #options: FaultJobOptions
  readonly #workers: SupervisedWorker[] = []
  readonly #broken = Promise.withResolvers<never>()
  #isOver = false
  #isTrained = false
  #watching: Promise<void> = Promise.resolve()

  private constructor(
    place: Surroundings,
    lane: Lane,
    options: FaultJobOptions,
    parts: { proxy: S3Proxy; store: Store },
  ) {
    this.#place = place
    this.#options = options
    this.lane = lane
    this.name = options.name
    this.root = join(place.root, 'homes', options.name)
    this.proxy = parts.proxy
    this.store = parts.store
    // Heard where something is waited for.
    this.#broken.promise.catch(() => {})
    lane.gone.catch(this.#broken.reject)
    place.gone.catch(this.#broken.reject)
  }

  static async open(place: Surroundings, lane: Lane, options: FaultJobOptions): Promise<FaultJob> {
    const { endpoint, accessKeyId, secretAccessKey } = place.s3
    const s3 = { endpoint, credentials: { accessKeyId, secretAccessKey } }
    const store = await openStore(`s3://${BUCKET}/${options.name}`, { s3 })
    return new FaultJob(place, lane, options, { proxy: await s3Proxy(endpoint), store })
  }

  /** Credentials that may read and not write. */
  get reader() {
    return this.#place.s3.reader
  }

  get jobId(): string {
    return jobIdOf(this.name)
  }

  /** One more worker. `group`: the folder of a control group that it and all that it starts belong to. */
  async worker(
    more: Record<string, string> = {},
    { home, group }: { home?: string; group?: string } = {},
  ): Promise<SupervisedWorker> {
    const { s3 } = this.#place
    const folder = home ?? join(this.root, `worker-${this.#workers.length + 1}`)
    const environment = {
      TEMPORAL_ADDRESS: this.lane.address,
      TEMPER_STORE: `s3://${BUCKET}/${this.name}`,
      // Where the product keeps it.
      NODE_COMPILE_CACHE: join(downloadCache(process.env), 'compiled'),
      AWS_ENDPOINT_URL_S3: this.proxy.endpoint,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    }
    const worker = new SupervisedWorker(folder, environment, group)
    worker.onLost = this.#broken.reject
    this.#workers.push(worker)
    await worker.start(more)
    return worker
  }

  /** `rows`: the text of this job's own rows. */
  async submit({ rows = this.#options.rows }: { rows?: string | undefined } = {}): Promise<void> {
    await this.#start(this.name, rows, {})
    this.#watching = this.#watch()
  }

  /** Another job of the same store and queues, with these fields of spec.train. Nobody watches it. */
  async submitBeside(name: string, train: Record<string, unknown>): Promise<void> {
    await this.#start(name, this.#options.rows, train)
  }

  async #start(
    jobName: string,
    rows: string | undefined,
    moreOfTrain: Record<string, unknown>,
  ): Promise<void> {
    const { steps, heartbeatSeconds, checkpoint, train, isLong, isWhole } = this.#options
    const file = join(this.root, 'rows.jsonl')
    if (rows !== undefined) {
      mkdirSync(this.root, { recursive: true })
      writeFileSync(file, rows)
    }
    const { name, spec } = parseFineTune(
      {
        apiVersion: 'temper.dev/v1alpha1',
        kind: 'FineTune',
        metadata: { name: jobName },
        spec: {
          model: { source: isLong ? this.#place.longModel : this.#place.model },
          data: { train: [rows === undefined ? this.#place.rows : file], maxLength: isLong ? 1024 : 128 },
          train: {
            r: 4,
            loraAlpha: 8,
            learningRate: 1e-3,
            maxSteps: steps,
            threads: 1,
            checkpoint: checkpoint ?? { everySteps: 25, everySeconds: 60, keepLast: 2 },
            ...train,
            ...moreOfTrain,
          },
          eval: { samples: isWhole ? 1 : 0, maxNewTokens: 4, ...(isLong && { batchSize: 1 }) },
          quantize: { formats: isWhole ? ['gguf-q8_0'] : [], maxLossIncrease: 1 },
        },
      },
      'a fault case',
    )
    const job: FineTuneJob = {
      jobId: jobIdOf(name),
      spec,
      trainingQueue: CPU_TRAINING_QUEUE,
      heartbeatSeconds,
      searchAttributes: true,
    }
    await this.lane.client.workflow.start<typeof fineTune>('fineTune', {
      workflowId: job.jobId,
      taskQueue: CONTROL_QUEUE,
      args: [job],
    })
  }

  /** The same job once more, after it has failed. */
  async submitAgain(changes: { rows?: string } = {}): Promise<void> {
    this.#isOver = false
    this.#isTrained = false
    await this.submit(changes)
  }

  /** Waits until so many more checkpoints are in the store, as the proxy sees them: sharper than heartbeats, at any speed. */
  async saved(more: number): Promise<void> {
    const moves = () =>
      this.proxy.seen.filter(
        ({ method, path }) => method === 'PUT' && /\/training\/.*latest\.json/.test(path),
      ).length
    const before = moves()
    await this.until(`${more} more checkpoints`, () => {
      if (moves() >= before + more) return true
      if (this.#isTrained) throw new Error(`training was over before ${more} more checkpoints`)
      return undefined
    })
  }

  /** Name of the activity that trains now. */
  async trainingActivity(): Promise<string> {
    const handle = this.lane.client.workflow.getHandle(trainingWorkflowId(this.jobId))
    const { raw } = await handle.describe()
    return raw.pendingActivities?.[0]?.activityId ?? ''
  }

  /** Waits until `seen` is true of the newest sample, or the job is over. */
  async reach(what: string, seen: (sample: Sample) => boolean): Promise<Sample> {
    const sample = await this.until(what, () => this.samples.find(seen))
    return sample
  }

  /** The first sample of this kind, or undefined where training ended without one. */
  async untilSample(seen: (sample: Sample) => boolean): Promise<Sample | undefined> {
    for (;;) {
      const sample = this.samples.find(seen)
      if (sample !== undefined || this.#isOver || this.#isTrained) return sample
      await this.#unlessBroken(sleep(LOOK_MILLISECONDS))
    }
  }

  /** Looks until something is there. Ends with the job, with its last worker, with the server. */
  async until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
    for (;;) {
      const found = await this.#unlessBroken(within(ANSWER_SECONDS, what, Promise.resolve(look())))
      if (found !== undefined) return found
      if (this.#isOver) throw new Error(`the job was over before ${what}`)
      await this.#unlessBroken(sleep(LOOK_MILLISECONDS))
    }
  }

  /** To the job's end; throws what it failed with. */
  async finish(): Promise<void> {
    const handle = this.lane.client.workflow.getHandle(this.jobId)
    try {
      await this.#unlessBroken(handle.result())
    } finally {
      this.#isOver = true
      await this.#watching
    }
  }

  /** All of them, or the reason why nobody is left to bring them. */
  all<T>(promises: readonly Promise<T>[]): Promise<T[]> {
    return this.#unlessBroken(Promise.all(promises))
  }

  /** Rejects as soon as nobody is left who could bring what is waited for. */
  #unlessBroken<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#broken.promise])
  }

  /** What failures have cost this job's training so far, as its workflow counts them. */
  async trainingFailures(): Promise<FailureCounts> {
    const handle = this.lane.client.workflow.getHandle(trainingWorkflowId(this.jobId))
    const { memo } = await handle.describe()
    return (memo?.[ATTEMPTS_MEMO] as TrainingAttempts | undefined)?.failures ?? {}
  }

  /** What training reported at its end. */
  async trainingSummary(): Promise<TrainSummary> {
    const handle = this.lane.client.workflow.getHandle(this.jobId)
    return ((await handle.result()) as FineTuneSummary).training
  }

  log(): Promise<JobLogLine[]> {
    return jobLogReader(this.store, this.jobId)()
  }

  /** Ends all workers in good order, and the job where a case left it open. */
  async close(): Promise<void> {
    this.#isOver = true
    await this.#watching
    const view = await findJob(this.lane.client, this.name)
    if (view?.state === 'running') await this.lane.client.workflow.getHandle(this.jobId).terminate()
    for (const worker of this.#workers) await worker.stop()
    await this.proxy.close()
  }

  /** Of a run that came to no end: kills whatever is left of it, and says where it stood. */
  abandon(): string {
    this.#isOver = true
    this.#broken.reject(new Error('the run was given up'))
    const workers = this.#workers.map((worker) => {
      const state = worker.isRunning ? 'runs' : 'does not run'
      return `${worker.home} ${state}: ${worker.lastWords()}`
    })
    for (const worker of this.#workers) worker.abandon()
    const last = this.samples.at(-1)?.progress
    return `last heartbeat ${JSON.stringify(last)}; ${workers.join('; ')}`
  }

  async #watch(): Promise<void> {
    const handle = this.lane.client.workflow.getHandle(trainingWorkflowId(this.jobId))
    while (!this.#isOver) {
      // Not there before the first stages are done, not to be asked while the server is killed.
      const description = await within(ANSWER_SECONDS, 'the server', handle.describe()).catch(() => undefined)
      const [activity] = description?.raw.pendingActivities ?? []
      const [payload] = activity?.heartbeatDetails?.payloads ?? []
      if (activity?.activityId && payload) {
        const progress = defaultPayloadConverter.fromPayload<StageProgress | undefined>(payload)
        // The first heartbeat has nothing to tell yet.
        if (progress) this.samples.push({ at: performance.now(), activity: activity.activityId, progress })
      }
      if (description !== undefined && description.status.name !== 'RUNNING') {
        this.#isTrained = true
        return
      }
      await sleep(WATCH_MILLISECONDS)
    }
  }
}
