import { createHash } from 'node:crypto'
import { type Client, WorkflowNotFoundError } from '@temporalio/client'
import { SIGNAL_OF } from '../jobs/answer-job.ts'
import { jobIdOf } from '../jobs/job-id.ts'
import { findJob } from '../jobs/job-view.ts'
import { hasSearchAttributes } from '../jobs/search-attributes.ts'
import { startJob } from '../jobs/start-job.ts'
import { canonicalJson } from '../src/store/canonical-json.ts'
import { type FineTuneJob, trainingWorkflowId } from '../workflows/job.ts'
import type { PriorityChange } from '../workflows/job-record.ts'
import type { PodReport } from '../workflows/pod-reports.ts'
import { pauseSignal, podReportSignal, prioritySignal, resumeSignal } from '../workflows/signals.ts'
import { callTemporal, type TemporalPlace } from './call-temporal.ts'
import type { ApprovalAnswer } from './fine-tune-resource.ts'
import type { JobStart, Jobs } from './jobs.ts'

/** FineTunes as workflows of a Temporal server. */
export class TemporalJobs implements Jobs {
  readonly #place: TemporalPlace
  #hasAttributes = false

  constructor(place: TemporalPlace) {
    this.#place = place
  }

  find(uid: string) {
    return this.#call((client) => findJob(client, uid))
  }

  start({ uid, name, spec, trainingQueue, priority, again }: JobStart): Promise<void> {
    return this.#call(async (client) => {
      const { namespace } = client.options
      // They are not taken away again; one that lacks them is asked at each start.
      this.#hasAttributes ||= await hasSearchAttributes(client.connection, namespace)
      const searchAttributes = this.#hasAttributes
      const job: FineTuneJob = {
        jobId: jobIdOf(uid),
        spec,
        trainingQueue,
        heartbeatSeconds: this.#place.heartbeatSeconds,
        searchAttributes,
        reportsPods: true,
        ...(priority && { priority }),
      }
      const specDigest = createHash('sha256').update(canonicalJson(spec)).digest('hex')
      // Where it runs already, an earlier life of this controller has started it.
      await startJob(client, job, { name, specDigest, again })
    })
  }

  cancel(uid: string): Promise<void> {
    return this.#call(async (client) => {
      await ifThere(() => client.workflow.getHandle(jobIdOf(uid)).cancel())
    })
  }

  pause(uid: string): Promise<void> {
    return this.#signal(jobIdOf(uid), pauseSignal)
  }

  resume(uid: string): Promise<void> {
    return this.#signal(jobIdOf(uid), resumeSignal)
  }

  answer(uid: string, { decision, ...words }: ApprovalAnswer): Promise<void> {
    return this.#signal(jobIdOf(uid), SIGNAL_OF[decision], words)
  }

  setPriority(uid: string, change: PriorityChange): Promise<void> {
    return this.#signal(jobIdOf(uid), prioritySignal, change)
  }

  report(uid: string, report: PodReport): Promise<void> {
    const jobId = jobIdOf(uid)
    // A training that has ended meanwhile, or rests, hears nothing: then its job's record is what the report corrects.
    const ids = report.stage === 'train' ? [trainingWorkflowId(jobId), jobId] : [jobId]
    return this.#call(async (client) => {
      for (const id of ids) {
        if (await ifThere(() => client.workflow.getHandle(id).signal(podReportSignal, report))) return
      }
    })
  }

  abandon(uid: string): Promise<void> {
    const jobId = jobIdOf(uid)
    return this.#call(async (client) => {
      for (const id of [jobId, trainingWorkflowId(jobId)]) {
        await ifThere(() =>
          client.workflow.getHandle(id).terminate('The FineTune was deleted; no worker ran it.'),
        )
      }
    })
  }

  #signal(id: string, name: string, ...args: unknown[]): Promise<void> {
    return this.#call(async (client) => {
      await ifThere(() => client.workflow.getHandle(id).signal(name, ...args))
    })
  }

  #call<T>(work: (client: Client) => Promise<T>): Promise<T> {
    return callTemporal(this.#place, work)
  }
}

/** False where there is no such workflow, or none that runs: it needs no ending, and hears no signal. */
async function ifThere(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act()
    return true
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error
    return false
  }
}
