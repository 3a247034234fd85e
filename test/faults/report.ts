import { PARTS } from './fault-case.ts'
import type { FaultResult } from './run-cases.ts'

/** What one call of the program has found out. */
export interface SavedPart {
  seed: number
  heartbeatSeconds: { measured: number; short: number }
  minutes: number
  machine: string
  date: string
  /** The machine's load average: processes that run or want to, this program's own among them. */
  load: { mean: number; highest: number }
  results: FaultResult[]
}

/** docs/faults.md, made from the results of a run (in one piece or in parts) and nothing else. */
export function faultsReport(parts: readonly SavedPart[]): string {
  const results = parts
    .flatMap((part) => part.results)
    .sort((a, b) => PARTS.indexOf(a.part) - PARTS.indexOf(b.part))
  const rows = Array.from(
    Map.groupBy(results, ({ kind }) => kind).values(),
    (of) => `| ${rowOf(of).join(' | ')} |`,
  )
  const passed = results.filter(({ verdict }) => verdict.state === 'passed').length
  const minutes = parts.reduce((sum, part) => sum + part.minutes, 0)
  const seeds = unique(parts.map(({ seed }) => seed))
  const machines = unique(parts.map(({ machine }) => machine))
  const measured = unique(parts.map(({ heartbeatSeconds }) => heartbeatSeconds.measured))
  const dates = unique(parts.map(({ date }) => date))
  const loads = parts.map(({ load }) => loadText(load)).join(' and ')
  const short = unique(parts.map(({ heartbeatSeconds }) => heartbeatSeconds.short))
  return `# Faults

Written by \`npm run faults\` from its own results; not edited by hand. Seed ${seeds}, ${results.length} runs, ${passed} passed,
${minutes.toFixed(0)} minutes on ${machines}, ${dates}. On average ${loads} processes ran or waited for a core, those of other work on
the machine among them.

Each run is a small job on a real Temporal server, a real S3 server (SeaweedFS, behind a proxy that makes the network's faults)
and the product's own processes. It passes only if afterwards the adapter equals that of an undisturbed run bit for bit (where the row
says so: its evaluation loss), every stage has committed one artifact and one version is published, every file that a
manifest or pointer names has its size and SHA-256, and no process is left.

| part | case | what is done | passed | steps again (median / max) |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

## Recovery

From the kill to the first step that was computed after it, in seconds, as heartbeats show it: they travel once a second, so a time
is up to a second too long. The heartbeat timeout is the one that the chart ships, ${measured} s (${short} s in cases that measure
nothing). Each job is killed five times within minutes: before its fourth and fifth new trainer the budget of the kind waits 4 and 8
seconds ([failures.md](failures.md)). Steps again: those that had been computed and were computed once more, as the job itself counts them.

| case | kills | median | p95 | max | steps again (median / max) | processes that ran or waited for a core |
| --- | --- | --- | --- | --- | --- | --- |
${parts
  .toSorted((a, b) => a.load.mean - b.load.mean)
  .flatMap(recoveryRows)
  .join('\n')}

## What was seen

${notes(results)}

## Limits

- Steps of this job take a few milliseconds: recovery times hold the start of processes and of ONNX Runtime, not the loading of a
  large model.
- A clock that is moved is moved for the worker and its trainer (libfaketime, native code included; timers run as ever); the
  servers keep theirs.
`
}

function rowOf(of: readonly FaultResult[]): string[] {
  const leftOut = of.filter(({ verdict }) => verdict.state === 'left out').length
  const passed = of.filter(({ verdict }) => verdict.state === 'passed').length
  const lost = recoveriesOf(of).map(({ stepsLost }) => stepsLost)
  const [first] = of
  return [
    first?.part ?? '',
    first?.kind ?? '',
    first?.what ?? '',
    `${passed} of ${of.length}${leftOut ? ` (${leftOut} not possible here)` : ''}`,
    lost.length > 0 ? `${at(lost, 0.5)} / ${at(lost, 1)}` : '',
  ]
}

function recoveryRows({ results, load }: SavedPart): string[] {
  return Array.from(Map.groupBy(results, ({ kind }) => kind).entries()).flatMap(([kind, of]) => {
    const found = recoveriesOf(of)
    if (found.length === 0) return []
    const times = found.map(({ seconds }) => seconds)
    const lost = found.map(({ stepsLost }) => stepsLost)
    const cells = [kind, String(found.length), ...[0.5, 0.95, 1].map((share) => at(times, share).toFixed(1))]
    const lostCell = `${at(lost, 0.5)} / ${at(lost, 1)}`
    return [`| ${[...cells, lostCell, loadText(load)].join(' | ')} |`]
  })
}

function notes(results: readonly FaultResult[]): string {
  const lines = results.flatMap(({ kind, run, verdict }) => {
    if (verdict.state !== 'passed')
      return [`- ${kind}, run ${run}: ${verdict.state}: ${firstOf(verdict.why)}`]
    return verdict.measured.note ? [`- ${kind}, run ${run}: ${verdict.measured.note}`] : []
  })
  return lines.join('\n')
}

const recoveriesOf = (of: readonly FaultResult[]) =>
  of.flatMap(({ verdict }) => (verdict.state === 'passed' ? (verdict.measured.recoveries ?? []) : []))

/** Without where it stood, and the folders of the machine that it ran on. */
const firstOf = (why: string): string => (why.split(' (last heartbeat')[0] ?? '').replaceAll(/\s+/g, ' ')

const loadText = ({ mean, highest }: SavedPart['load']): string =>
  `${mean.toFixed(1)} (at most ${highest.toFixed(1)})`

/** The value at or below which this share of all lies. */
function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

const unique = (values: readonly (string | number)[]): string => Array.from(new Set(values)).join(', ')
