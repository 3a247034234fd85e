import type { FailureKind } from './failure-kind.ts'

export interface Budget {
  /** How often the stage is tried again after this kind of failure. */
  retries: number
  /** Wait before the first retry, doubled for each further one up to `longestWait`. Milliseconds. */
  firstWait: number
  longestWait: number
}

/** A kind of failure, in words for docs/failures.md and in numbers for the workflow. */
export interface FailureEntry {
  /** By what it is known. */
  evidence: string
  /** What Temper does. */
  answer: string
  /** What the person who owns the job sees. */
  shown: string
  /** user: the job or its data has to change. infrastructure: nothing is wrong with the job. temper: a defect of ours. */
  fault: 'user' | 'infrastructure' | 'temper'
  budget: Budget
}

const NEVER: Budget = { retries: 0, firstWait: 0, longestWait: 0 }
/** Nobody's fault and nothing lost that counts: the number only bounds the history. */
const AS_OFTEN_AS_IT_HAPPENS = 500

export const FAILURES: Record<FailureKind, FailureEntry> = {
  input: {
    evidence:
      'InputError (exit code 10): a wrong spec, rows, model, bucket, permission, full disk; a CUDA driver too old for the runtime; an image that cannot be pulled',
    answer: 'fails at once',
    shown: 'one sentence that names the place and the mend',
    fault: 'user',
    budget: NEVER,
  },
  diverged: {
    evidence:
      'NonFiniteError (exit code 11), after the trainer itself has gone back, skipped the batches and lowered the rate `spec.train.divergence.tries` times',
    answer: 'fails: the same steps give the same loss',
    shown: 'the step, its rows and the rate',
    fault: 'user',
    budget: NEVER,
  },
  outOfMemory: {
    evidence:
      "exit code 12; SIGKILL while the cgroup's oom_kill counter rose; container reason OOMKilled; event OOMKilling; an eviction for memory; words of a failed allocation (ONNX Runtime, V8, CUDA)",
    answer:
      'the memory ladder: half the micro-batch at the same effective batch, down to one row; then the layout by-layer; then more of a layer computed again; then the next queue of `spec.train.largerQueues`',
    shown:
      'the micro-batch, layout and queue of the attempt; when the ladder ends, that it needs a larger machine',
    fault: 'user',
    // Bounded by the ladder: every rung is another attempt, and none is tried twice.
    budget: { retries: 32, firstWait: 0, longestWait: 0 },
  },
  stalled: {
    evidence: "the age of the trainer's last progress, past the limit of its phase; its parent killed it",
    answer: 'resumes from the newest checkpoint',
    shown: 'the phase, the silence and the limit',
    fault: 'infrastructure',
    budget: { retries: 10, firstWait: 1_000, longestWait: 60_000 },
  },
  killed: {
    evidence: 'the trainer died by a signal that nothing else explains',
    answer: 'resumes from the newest checkpoint',
    shown: 'the signal, the phase and the step',
    fault: 'infrastructure',
    budget: { retries: 100, firstWait: 0, longestWait: 30_000 },
  },
  lost: {
    evidence: "Temporal's heartbeat timeout: the worker fell silent",
    answer: 'the next worker resumes; the old attempt is fenced and can write nothing',
    shown: 'that the worker was lost',
    fault: 'infrastructure',
    budget: { retries: AS_OFTEN_AS_IT_HAPPENS, firstWait: 0, longestWait: 0 },
  },
  preempted: {
    evidence:
      "pod condition DisruptionTarget; reason Evicted, Preempting, NodeShutdown; events Preempted, TaintManagerEviction, Evicted; taints of a cloud's interruption notice, of Karpenter, of the cluster autoscaler",
    answer: 'resumes as soon as a machine is there',
    shown: 'that the machine was taken away, and by what',
    fault: 'infrastructure',
    budget: { retries: AS_OFTEN_AS_IT_HAPPENS, firstWait: 0, longestWait: 0 },
  },
  nodeLost: {
    evidence:
      'node gone, or its condition Ready is False or Unknown; taints unreachable, not-ready, out-of-service; conditions KernelDeadlock, ReadonlyFilesystem; event NodeNotReady',
    answer: 'resumes on another node',
    shown: 'the node and its condition',
    fault: 'infrastructure',
    budget: { retries: AS_OFTEN_AS_IT_HAPPENS, firstWait: 0, longestWait: 0 },
  },
  hardware: {
    evidence:
      'an NVIDIA Xid whose action is to reset the GPU, restart the machine or drain the node (48, 64, 74, 79, 95, 119, 140, 154, and any not listed); CUDA: uncorrectable ECC error, no device, device unavailable',
    answer: 'resumes on another node; the bad one is avoided',
    shown: "the Xid or CUDA error with the catalogue's action",
    fault: 'infrastructure',
    budget: { retries: 20, firstWait: 1_000, longestWait: 60_000 },
  },
  gpuFault: {
    evidence:
      'an NVIDIA Xid whose action is to restart the program (13, 31, 94); CUDA: illegal address, launch failure, device-side assertion',
    answer: 'resumes; when it comes again and again it is our code, and the job fails',
    shown: 'the Xid or CUDA error',
    fault: 'temper',
    budget: { retries: 3, firstWait: 1_000, longestWait: 30_000 },
  },
  transient: {
    evidence:
      'TransientError (exit code 14): network, S3 or model hub unreachable, 5xx, 429, after the bounded retries of one request',
    answer: 'waits and tries again',
    shown: 'the server and what it said',
    fault: 'infrastructure',
    // About four hours of an unreachable store or hub.
    budget: { retries: 60, firstWait: 1_000, longestWait: 300_000 },
  },
  corrupt: {
    evidence: 'CorruptError (exit code 16): SHA-256 or size of a file is not the recorded one',
    answer: 'the bad bytes are set aside, then the stage is tried again with what came before',
    shown: 'the file',
    fault: 'infrastructure',
    budget: { retries: 3, firstWait: 1_000, longestWait: 10_000 },
  },
  fenced: {
    evidence: "FencedError (exit code 13): a later attempt, or another run of the job, holds the job's lease",
    answer:
      'writes nothing more. A later attempt of the same run takes the next epoch; a run from which another has taken the job gets it back never, and ends unless the other finishes first',
    shown: 'the attempt and the epoch that hold the lease',
    fault: 'infrastructure',
    budget: { retries: 5, firstWait: 1_000, longestWait: 30_000 },
  },
  stopped: {
    evidence: 'StoppedError (exit code 15): the worker was shut down after it had saved its state',
    answer: 'the next worker resumes',
    shown: 'that the worker was shut down',
    fault: 'infrastructure',
    budget: { retries: AS_OFTEN_AS_IT_HAPPENS, firstWait: 0, longestWait: 0 },
  },
  internal: {
    evidence: 'anything else: exit code 70, an error without a class of its own, a stage over its time',
    answer: "once more for chance's sake, then fails",
    shown: 'the error; the log has its stack',
    fault: 'temper',
    budget: { retries: 1, firstWait: 1_000, longestWait: 1_000 },
  },
}

/** Milliseconds to wait before the `retry`th retry (from 1). */
export function waitBefore({ firstWait, longestWait }: Budget, retry: number): number {
  // A first wait of nothing stands for: at once, and from the second time on a second and its doubles.
  const wait = firstWait === 0 && retry > 1 ? 1_000 * 2 ** (retry - 2) : firstWait * 2 ** (retry - 1)
  return Math.min(longestWait, wait)
}
