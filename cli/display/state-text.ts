import { isAsking, type JobView } from '../../jobs/job-view.ts'

/** How a job is, in a word or three. */
export function stateText(view: JobView): string {
  if (view.state === 'running' && view.isPaused) return 'paused'
  return isAsking(view) ? 'waiting for approval' : view.state
}
