/**
 * What is known about the end of an attempt. Collectors fill in what they can see (a worker: its child and its cgroup; on a
 * cluster: pods, nodes and events as well); classify() decides. Everything may be missing.
 */
export interface Evidence {
  /** The error that the stage threw: its class and its sentence. */
  error?: { name: string; message: string }
  child?: ChildEnd
  /** Processes that the kernel killed for memory in this container while the attempt ran. */
  oomKills?: number
  /** Temporal's heartbeat timeout. */
  workerSilent?: boolean
  /** The container's termination state. */
  container?: { reason?: string; exitCode?: number; message?: string }
  pod?: { reason?: string; message?: string; conditions?: readonly Condition[] }
  node?: {
    name: string
    /** The cluster knows no such node any more. */
    gone?: boolean
    conditions?: readonly Condition[]
    taints?: readonly { key: string; value?: string }[]
  }
  /** Kubernetes events about the pod or its node. */
  events?: readonly { reason: string; message: string }[]
  /** Lines of the kernel's log about GPUs. */
  kernelLog?: readonly string[]
}

export interface ChildEnd {
  exitCode: number | null
  signal: string | null
  /** Its parent killed it for its silence; in seconds. */
  stalled?: { phase: string; silent: number; limit: number }
  lastWords: string
}

/** As Kubernetes writes conditions of pods and nodes. */
export interface Condition {
  type: string
  status: string
  reason?: string
  message?: string
}
