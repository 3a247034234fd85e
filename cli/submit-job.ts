import { InputError } from '../src/errors.ts'
import type { FineTuneSpec } from '../src/spec/fine-tune.ts'
import type { FineTuneJob } from '../workflows/job.ts'
import { CPU_TRAINING_QUEUE } from '../workflows/queues.ts'
import { jobIdOf } from '../jobs/job-id.ts'
import { findJob } from '../jobs/job-view.ts'
import { startJob } from '../jobs/start-job.ts'
import type { Session } from './session.ts'

export interface JobRequest {
  name: string
  /** Paths absolute, defaults filled in. */
  spec: FineTuneSpec
  /** Of the document as it was written: a newer version's new defaults do not make it another job. */
  specDigest: string
  heartbeatSeconds: number
}

/**
 * Starts the job, or finds the one of the same name and spec that is not finished: then nothing is started and it goes on.
 * InputError where a job of this name is under way with another spec.
 */
export async function submitJob(session: Session, request: JobRequest): Promise<{ attached: boolean }> {
  const { client } = session
  const { name, spec, specDigest } = request
  const job: FineTuneJob = {
    jobId: jobIdOf(name),
    spec,
    trainingQueue: CPU_TRAINING_QUEUE,
    heartbeatSeconds: request.heartbeatSeconds,
    searchAttributes: session.searchAttributes,
  }
  for (;;) {
    const running = await findJob(client, name)
    if (running?.state === 'running') {
      if (running.specDigest === specDigest) return { attached: true }
      throw new InputError(
        `Job ${name} is under way with another spec: cancel it with "temper cancel ${name}", or give this one another metadata.name.`,
      )
    }
    // Where another command started it between the look and the start: look again.
    if (await startJob(client, job, { name, specDigest, again: true })) return { attached: false }
  }
}
