import type { FaultResult } from './run-cases.ts'

/** docs/faults.md, made from the results of a run and nothing else. */
export function faultsReport(
  results: readonly FaultResult[],
  run: { seed: number; heartbeatSeconds: number; minutes: number; machine: string },
): string {
  const kinds = Map.groupBy(results, ({ fault }) => fault.kind)
  const rows = Array.from(kinds.entries(), ([kind, of]) => {
    const passed = of.filter(({ verdict }) => verdict.state === 'passed')
    const leftOut = of.filter(({ verdict }) => verdict.state === 'left out').length
    const measured = passed.flatMap(({ verdict }) => (verdict.state === 'passed' ? [verdict.measured] : []))
    const times = measured.flatMap(({ recoverySeconds }) => recoverySeconds ?? []).sort((a, b) => a - b)
    const lost = measured.flatMap(({ stepsLost }) => stepsLost ?? []).sort((a, b) => a - b)
    return [
      kind,
      of[0]?.fault.what ?? '',
      `${passed.length} of ${of.length}${leftOut ? ` (${leftOut} not possible here)` : ''}`,
      seconds(times, 0.5),
      seconds(times, 0.95),
      seconds(times, 1),
      lost.length ? `${at(lost, 0.5)} / ${at(lost, 1)}` : '',
    ]
  })
  const header = ['case', 'what is done', 'passed', 'median', 'p95', 'max', 'steps again (median / max)']
  const table = [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  const passed = results.filter(({ verdict }) => verdict.state === 'passed').length
  return `# Faults

Written by \`npm run faults\` from its own results; not edited by hand. Seed ${run.seed}, ${results.length} runs, ${passed} passed,
${run.minutes.toFixed(0)} minutes on ${run.machine}; heartbeat timeout ${run.heartbeatSeconds} s.

Each run is a small job on a real Temporal server, a real S3 server (SeaweedFS, behind a proxy that makes the network's faults)
and the product's own processes. It passes only if afterwards the adapter equals that of an undisturbed run bit for bit, every stage has
committed one artifact and one version is published, every file that a manifest or pointer names has its size and SHA-256,
and no process is left.

Times are from the kill to the first step that was computed after it, in seconds, as heartbeats show it: they travel once a second, so
a time is up to a second too long. Steps again: steps that had been computed and were computed once more. Where a cell is empty nothing
of that was measured.

${table.join('\n')}

## Not in this run

- A load of 200 jobs, a trainer that runs out of memory under a cgroup limit, a learning rate that diverges: not part of this program.
- The clock is moved for JavaScript's Date only, in the worker and its trainer; Temporal's native core reads the machine's clock.
- Steps of this job take a few milliseconds: recovery times hold the start of processes and of ONNX Runtime, not the loading of a
  large model.
`
}

/** The value below which this share of all lies. */
function at(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

function seconds(sorted: readonly number[], share: number): string {
  return sorted.length === 0 ? '' : at(sorted, share).toFixed(1)
}
