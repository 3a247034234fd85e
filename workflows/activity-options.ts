import { ActivityCancellationType, type ActivityOptions } from '@temporalio/workflow'

/**
 * How an attempt of a stage runs. The server does not retry it (with-retries.ts does, by kind of failure); a worker that dies is
 * noticed by its missing heartbeat; a cancelled stage is waited for, so that its state is saved before the job ends.
 */
export function attemptOptions(taskQueue: string, heartbeatSeconds: number): ActivityOptions {
  return {
    taskQueue,
    heartbeatTimeout: heartbeatSeconds * 1000,
    // A month: no stage is stopped for taking long, only for standing still.
    startToCloseTimeout: '30 days',
    retry: { maximumAttempts: 1 },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  }
}
