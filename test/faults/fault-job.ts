import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultPayloadConverter } from '@temporalio/client'
import { jobIdOf } from '../../jobs/job-id.ts'
import { findJob } from '../../jobs/job-view.ts'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { type JobLogLine, jobLogReader } from '../../src/stages/job-log.ts'
import type { StageProgress } from '../../src/stages/stage-progress.ts'
import type { fineTune } from '../../workflows/fine-tune.ts'
import { type FineTuneJob, trainingWorkflowId } from '../../workflows/job.ts'
import { CONTROL_QUEUE, CPU_TRAINING_QUEUE } from '../../workflows/queues.ts'
import { type S3Proxy, s3Proxy } from '../store/support/s3-proxy.ts'
import type { Lane } from './lane.ts'
import { BUCKET, type Surroundings } from './surroundings.ts'
import { SupervisedWorker } from './worker-process.ts'

/** What the heartbeats of training have shown, by the clock of this process. */
export interface Sample {
  at: number
  /** Differs between attempts. */
  activity: string
  progress: StageProgress
}

const LOOK_MILLISECONDS = 50
/** Far beyond what any case needs: reaching it is a failure, never a measurement. */
const LIMIT_MILLISECONDS = 20 * 60_000

export interface FaultJobOptions {
  /** Of this case among all: its store, its folders and its job are called so. */
  name: string
  heartbeatSeconds: number
  steps: number
  checkpoint?: { everySteps: number; everySeconds: number; keepLast: number }
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
  #isOver = false
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
  }

  static async open(place: Surroundings, lane: Lane, options: FaultJobOptions): Promise<FaultJob> {
    const { endpoint, accessKeyId, secretAccessKey } = place.s3
    const s3 = { endpoint, credentials: { accessKeyId, secretAccessKey } }
    const store = await openStore(`s3://${BUCKET}/${options.name}`, { s3 })
    return new FaultJob(place, lane, options, { proxy: await s3Proxy(endpoint), store })
  }

  get jobId(): string {
    return jobIdOf(this.name)
  }

  async worker(more: Record<string, string> = {}, home?: string): Promise<SupervisedWorker> {
    const { s3 } = this.#place
    const worker = new SupervisedWorker(home ?? join(this.root, `worker-${this.#workers.length + 1}`), {
      TEMPORAL_ADDRESS: this.lane.address,
      TEMPER_STORE: `s3://${BUCKET}/${this.name}`,
      AWS_ENDPOINT_URL_S3: this.proxy.endpoint,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    })
    this.#workers.push(worker)
    await worker.start(more)
    return worker
  }

  async submit(): Promise<void> {
    const { steps, heartbeatSeconds, checkpoint } = this.#options
    const { name, spec } = parseFineTune(
      {
        apiVersion: 'temper.dev/v1alpha1',
        kind: 'FineTune',
        metadata: { name: this.name },
        spec: {
          model: { source: this.#place.model },
          data: { train: [this.#place.rows], maxLength: 128 },
          train: {
            r: 4,
            loraAlpha: 8,
            learningRate: 1e-3,
            maxSteps: steps,
            threads: 1,
            checkpoint: checkpoint ?? { everySteps: 25, everySeconds: 60, keepLast: 2 },
          },
          eval: { samples: 1, maxNewTokens: 4 },
          quantize: { maxLossIncrease: 1 },
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
    this.#watching = this.#watch()
  }

  /** The same job once more, after it has failed. */
  async submitAgain(): Promise<void> {
    this.#isOver = false
    await this.submit()
  }

  /** Waits until `seen` is true of the newest sample, or the job is over. */
  async reach(what: string, seen: (sample: Sample) => boolean): Promise<Sample> {
    const sample = await this.until(what, () => this.samples.find(seen))
    return sample
  }

  async until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
    for (let waited = 0; waited < LIMIT_MILLISECONDS; waited += LOOK_MILLISECONDS) {
      const found = await look()
      if (found !== undefined) return found
      if (this.#isOver) throw new Error(`the job was over before ${what}`)
      await sleep(LOOK_MILLISECONDS)
    }
    throw new Error(`waited for ${what} in vain`)
  }

  /** To the job's end; throws what it failed with. */
  async finish(): Promise<void> {
    const handle = this.lane.client.workflow.getHandle(this.jobId)
    const limit = AbortSignal.timeout(LIMIT_MILLISECONDS)
    const late = new Promise<never>((_, reject) => {
      limit.addEventListener('abort', () => reject(new Error('the job does not end')), { once: true })
    })
    try {
      await Promise.race([handle.result(), late])
    } finally {
      this.#isOver = true
      await this.#watching
    }
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

  async #watch(): Promise<void> {
    const handle = this.lane.client.workflow.getHandle(trainingWorkflowId(this.jobId))
    while (!this.#isOver) {
      // Not there before the first stages are done, not to be asked while the server is killed.
      const description = await handle.describe().catch(() => undefined)
      const [activity] = description?.raw.pendingActivities ?? []
      const [payload] = activity?.heartbeatDetails?.payloads ?? []
      if (activity?.activityId && payload) {
        const progress = defaultPayloadConverter.fromPayload<StageProgress | undefined>(payload)
        // The first heartbeat has nothing to tell yet.
        if (progress) this.samples.push({ at: performance.now(), activity: activity.activityId, progress })
      }
      if (description !== undefined && description.status.name !== 'RUNNING') return
      await sleep(LOOK_MILLISECONDS)
    }
  }
}
