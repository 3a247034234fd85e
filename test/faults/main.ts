import { writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { DEFAULT_HEARTBEAT_SECONDS } from '../../cli/options.ts'
import { boundaries } from './cases/boundaries.ts'
import { damage } from './cases/damage.ts'
import { kills } from './cases/kills.ts'
import { network } from './cases/network.ts'
import { owners } from './cases/owners.ts'
import { faultsReport } from './report.ts'
import { type PlannedRun, runCases } from './run-cases.ts'

// npm run faults -- [--seed N] [--quick] [--runs N] [--only EXPRESSION]
// The whole run writes docs/faults.md. Last line: N passed, N failed.

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
    /** At most so many runs of each case. */
    runs: { type: 'string', default: '100' },
    /** Only cases whose kind matches this expression. */
    only: { type: 'string', default: '' },
    heartbeat: { type: 'string' },
  },
})
const seed = Number(values.seed)
const heartbeatSeconds = Number(values.heartbeat ?? (values.quick ? 2 : DEFAULT_HEARTBEAT_SECONDS))
/** Killed workers are mostly waited for; more lanes than cores cost little. */
const lanes = values.quick ? 3 : 4

const planned: PlannedRun[] = [...kills, ...boundaries, ...owners, ...network, ...damage]
  .filter(({ isQuick, kind }) => (isQuick || !values.quick) && new RegExp(values.only).test(kind))
  .flatMap((fault) => {
    const runs = values.quick ? 1 : Math.min(fault.runs, Number(values.runs))
    return Array.from({ length: runs }, (_, index) => ({ fault, run: index + 1 }))
  })
const began = performance.now()
const say = (line: string): void => console.log(line)
const results = await runCases(planned, { seed, heartbeatSeconds, lanes, say })
const isWhole = !values.quick && values.only === ''
if (isWhole) {
  const machine = `${cpus().length} cores`
  const minutes = (performance.now() - began) / 60_000
  const file = fileURLToPath(new URL('../../docs/faults.md', import.meta.url))
  await writeFile(file, faultsReport(results, { seed, heartbeatSeconds, minutes, machine }))
}
const failed = results.filter(({ verdict }) => verdict.state === 'failed')
for (const { fault, run } of failed) say(`failed with --seed ${seed}: ${fault.kind}, run ${run}`)
const count = (state: string) => results.filter(({ verdict }) => verdict.state === state).length
if (count('left out') > 0) say(`${count('left out')} not possible on this machine`)
say(`${count('passed')} passed, ${count('failed')} failed`)
process.exit(failed.length > 0 ? 1 : 0)
