import type { StageStatus } from '../../workflows/job.ts'
import { formatCount, formatSeconds } from './format.ts'

/** What went wrong in a stage and what it has cost, one line each; nothing where nothing did. */
export function failureTexts({ failure, failures, relief, avoidNodes, summary }: StageStatus): string[] {
  const lines = Object.entries(failures ?? {}).map(
    ([kind, { times, steps, seconds }]) =>
      `${kind}: ${times}×, lost ${formatCount(steps)} ${steps === 1 ? 'step' : 'steps'} and ${formatSeconds(seconds)}`,
  )
  if (failure) lines.push(`last: ${failure.kind} (${failure.evidence.join('; ') || failure.message})`)
  const setAside = (summary?.quarantined ?? []) as { name: string; reason: string }[]
  for (const { name, reason } of setAside) lines.push(`checkpoint ${name} was set aside: ${reason}`)
  if (avoidNodes) lines.push(`nodes to avoid: ${avoidNodes.join(', ')}`)
  if (relief)
    lines.push(
      `for want of memory: ${relief.microBatchRows} rows at once, layout ${relief.layout}, gradient checkpointing ${relief.gradientCheckpointing ?? 'as before'}`,
    )
  return lines
}
