import { cpus } from 'node:os'

/** One disturbance of a training on the cluster, and how long it took until the next step was computed. */
export interface RecoveryTime {
  disturbance: string
  seconds: number
  /** Seconds of each part, in their order. */
  parts?: Record<string, number>
  /** As the job itself counts them. */
  stepsLost: number
  /** Of the machine in the minute before: processes that want a core. */
  load: number
}

/** What Kubernetes waits by itself before it gives up the pods of a node that it calls lost. */
const KUBERNETES_TOLERATION_SECONDS = 300
const GIVEN_UP = 'its pod is given up'

/** A section of docs/faults.md, made from what a run has measured and nothing else. */
export function recoverySection(times: readonly RecoveryTime[]): string {
  const groups = [...Map.groupBy(times, ({ disturbance }) => disturbance)]
  const rows = groups.map(([disturbance, of]) => {
    const seconds = of.map((one) => one.seconds)
    const steps = of.map(({ stepsLost }) => stepsLost)
    const cells = [disturbance, of.length, ...[0.5, 0.95, 1].map((share) => at(seconds, share).toFixed(1))]
    return `| ${[...cells, `${at(steps, 0.5)} / ${at(steps, 1)}`].join(' | ')} |`
  })
  const loads = times.map(({ load }) => load)
  return `## On a cluster

Written by \`npm run test:cluster -- --report\`: two nodes with a real kubelet each, on one machine of ${cpus().length} cores
whose load was ${at(loads, 0).toFixed(0)} to ${at(loads, 1).toFixed(0)}; ${new Date().toISOString().slice(0, 10)}. One worker in
the fleet; the controller and the workers of the other stages may be on the node that is lost. From the disturbance to the first step that was computed after it, in seconds;
after all of them the adapter is the undisturbed one bit for bit.

| disturbance | times | median | p95 | max | steps again (median / max) |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
${groups.map(([, of]) => partsText(of)).join('')}`
}

function partsText(of: readonly RecoveryTime[]): string {
  const names = Object.keys(of[0]?.parts ?? {})
  if (names.length === 0) return ''
  const median = (name: string) => at(of.map(({ parts = {} }) => parts[name] ?? 0), 0.5) // prettier-ignore
  const text = names.map((name) => `until ${name} ${median(name).toFixed(1)} s`).join(', ')
  const whole = at(
    of.map(({ seconds }) => seconds),
    0.5,
  )
  const plain = whole - median(GIVEN_UP) + KUBERNETES_TOLERATION_SECONDS
  return `
Of a lost node's time, by medians: ${text}. With Kubernetes' own toleration of ${KUBERNETES_TOLERATION_SECONDS} s in place of the
chart's \`nodeLossSeconds\` it would have been ${plain.toFixed(0)} s.
`
}

/** The value at or below which this share of all lies. */
function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}
