import { setTimeout as sleep } from 'node:timers/promises'
import {
  ApiException,
  CoordinationV1Api,
  type KubeConfig,
  type V1Lease,
  V1MicroTime,
} from '@kubernetes/client-node'

/** As in Kubernetes' own controllers: 15 s until another may lead, a renewal every 2 s, given up after 10 s without one. */
const LEASE_SECONDS = 15
const RETRY_MILLISECONDS = 2_000
const GIVE_UP_MILLISECONDS = 10_000

interface LeaderLeaseOptions {
  config: KubeConfig
  namespace: string
  name: string
  /** Who this process is: the pod's name. */
  identity: string
  log(message: string): void
}

/**
 * Runs `lead` while this process holds the Lease, and again whenever it gets it back; ends with `signal`. Whether a lease has
 * run out is judged by this process's own clock (it was not seen to change for 15 s). Two leaders for a moment do no harm: every
 * write of a reconciliation is conditional, and every start names its workflow.
 */
export async function whileLeader(
  options: LeaderLeaseOptions,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const lease = new LeaderLease(options)
  while (!signal.aborted) {
    if (!(await lease.tryHold())) {
      await pause(signal)
      continue
    }
    options.log(`${options.identity} leads`)
    const lost = new AbortController()
    const renewal = lease.renewUntil(AbortSignal.any([signal, lost.signal])).finally(() => lost.abort())
    try {
      await lead(AbortSignal.any([signal, lost.signal]))
    } finally {
      lost.abort()
      await renewal
    }
  }
  await lease.release()
}

class LeaderLease {
  readonly #options: LeaderLeaseOptions
  readonly #api: CoordinationV1Api
  #held: V1Lease | undefined
  #seen: { version: string; at: number } | undefined

  constructor(options: LeaderLeaseOptions) {
    this.#options = options
    this.#api = options.config.makeApiClient(CoordinationV1Api)
  }

  async tryHold(): Promise<boolean> {
    try {
      const lease = await this.#read()
      const version = lease?.metadata?.resourceVersion ?? ''
      if (this.#seen?.version !== version) this.#seen = { version, at: performance.now() }
      const holder = lease?.spec?.holderIdentity
      const isFree = !holder || holder === this.#options.identity
      if (!isFree && performance.now() - this.#seen.at < LEASE_SECONDS * 1000) return false
      this.#held = await this.#write(lease, this.#options.identity)
      return true
    } catch (error) {
      this.#held = undefined
      this.#options.log(`the lease was not got: ${reasonOf(error)}`)
      return false
    }
  }

  /** Returns when the lease is lost or the signal comes. */
  async renewUntil(signal: AbortSignal): Promise<void> {
    let renewed = performance.now()
    while (!signal.aborted) {
      await pause(signal)
      if (signal.aborted) return
      const isHeld = await this.#renew()
      if (isHeld) renewed = performance.now()
      else if (performance.now() - renewed > GIVE_UP_MILLISECONDS) {
        this.#options.log('the lease is lost')
        return
      }
    }
  }

  /** So that the next one need not wait. */
  async release(): Promise<void> {
    if (this.#held === undefined) return
    try {
      await this.#write(this.#held, '')
    } catch (error) {
      this.#options.log(`the lease was not given back: ${reasonOf(error)}`)
    }
  }

  async #renew(): Promise<boolean> {
    try {
      const lease = await this.#read()
      if (lease?.spec?.holderIdentity !== this.#options.identity) return false
      this.#held = await this.#write(lease, this.#options.identity)
      return true
    } catch {
      return false
    }
  }

  async #read(): Promise<V1Lease | undefined> {
    const { name, namespace } = this.#options
    try {
      return await this.#api.readNamespacedLease({ name, namespace })
    } catch (error) {
      if (error instanceof ApiException && error.code === 404) return undefined
      throw error
    }
  }

  /** Conditional by its resourceVersion: of two that try, one succeeds. */
  async #write(lease: V1Lease | undefined, holder: string): Promise<V1Lease> {
    const { name, namespace } = this.#options
    const now = new V1MicroTime()
    const changes = lease?.spec?.holderIdentity !== holder
    const body: V1Lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: lease?.metadata ?? { name, namespace },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: LEASE_SECONDS,
        acquireTime: changes ? now : (lease?.spec?.acquireTime ?? now),
        renewTime: now,
        leaseTransitions: (lease?.spec?.leaseTransitions ?? 0) + (changes && lease ? 1 : 0),
      },
    }
    return lease
      ? this.#api.replaceNamespacedLease({ name, namespace, body })
      : this.#api.createNamespacedLease({ namespace, body })
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
}

async function pause(signal: AbortSignal): Promise<void> {
  await sleep(RETRY_MILLISECONDS, undefined, { signal }).catch(() => {})
}
