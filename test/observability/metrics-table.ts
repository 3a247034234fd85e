import { METRICS, type MetricDefinition } from '../../worker/metrics.ts'

/** The rows of docs/metrics.md, from the code. */
export function metricsTable(): string[] {
  return Object.values<MetricDefinition>(METRICS).map(
    ({ name, kind, labels, help }) =>
      `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  )
}
