import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { writeAround } from '../support/page-section.ts'
import { boundaries } from './cases/boundaries.ts'
import { configuration } from './cases/configuration.ts'
import { damage } from './cases/damage.ts'
import { kills } from './cases/kills.ts'
import { load } from './cases/load.ts'
import { memory } from './cases/memory.ts'
import { network } from './cases/network.ts'
import { owners } from './cases/owners.ts'
import { PARTS } from './fault-case.ts'
import { chartHeartbeatSeconds } from './chart-heartbeat.ts'
import { faultsReport, type SavedPart } from './report.ts'
import { type FaultResult, type PlannedRun, runCases } from './run-cases.ts'

// npm run faults -- [--seed N] [--quick] [--part NAME,…] [--only EXPRESSION] [--runs N]
// The whole run writes docs/faults.md. In parts: --part kills --save FOLDER …, then --report FOLDER. Last line: N passed, N failed.

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
    /** Only these parts, comma-separated. */
    part: { type: 'string' },
    /** At most so many runs of each case. */
    runs: { type: 'string', default: '100' },
    /** Only cases whose kind matches this expression. */
    only: { type: 'string', default: '' },
    /** Keep the results in this folder, for --report. */
    save: { type: 'string' },
    /** Run nothing: make docs/faults.md from the results in this folder. */
    report: { type: 'string' },
    lanes: { type: 'string' },
  },
})
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1))

/** Between two looks at the machine's load, itself an average over a minute. */
const LOAD_MILLISECONDS = 30_000

const page = new URL('../../docs/faults.md', import.meta.url)
const say = (line: string): void => console.log(line)

if (values.report !== undefined) {
  const folder = values.report
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json')).sort()
  const parts = await Promise.all(
    files.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as SavedPart),
  )
  await writePage(parts)
  say(`docs/faults.md is made from ${files.length} files`)
} else process.exit(await run())

async function writePage(parts: readonly SavedPart[]): Promise<void> {
  // npm run test:cluster -- --report writes a part of it too.
  await writeAround(page, 'cluster', faultsReport(parts))
}

async function run(): Promise<number> {
  const seed = Number(values.seed)
  const short = values.quick ? 2 : 3
  const heartbeatSeconds = { short, measured: values.quick ? short : await chartHeartbeatSeconds() }
  const parts: readonly string[] = values.part?.split(',') ?? PARTS
  const planned: PlannedRun[] = [kills, boundaries, owners, network, damage, configuration, memory, load]
    .flat()
    .filter(({ part }) => parts.includes(part))
    .filter(({ isQuick, kind }) => (isQuick || !values.quick) && new RegExp(values.only).test(kind))
    .flatMap((fault) => {
      const runs = values.quick ? 1 : fault.runs === 'quick' ? 0 : Math.min(fault.runs, Number(values.runs))
      return Array.from({ length: runs }, (_, index) => ({ fault, run: index + 1 }))
    })
    // Kinds of one part side by side: those that wait for a timeout leave the machine to those that do not.
    .sort((a, b) => parts.indexOf(a.fault.part) - parts.indexOf(b.fault.part) || a.run - b.run)
  if (planned.length === 0) throw new Error('no case is called so')
  const began = performance.now()
  const loads: number[] = []
  const look = (): void => void loads.push(loadavg()[0] ?? 0)
  look()
  const looking = setInterval(look, LOAD_MILLISECONDS)
  looking.unref()
  // Killed workers are mostly waited for; more lanes than cores cost little.
  const lanes = Math.min(planned.length, Number(values.lanes ?? 4))
  const savedAs = (found: readonly FaultResult[]): SavedPart => ({
    seed,
    heartbeatSeconds,
    minutes: (performance.now() - began) / 60_000,
    machine: `${cpus().length} cores (${cpus()[0]?.model})`,
    date: new Date().toISOString().slice(0, 10),
    load: { mean: loads.reduce((sum, one) => sum + one, 0) / loads.length, highest: Math.max(...loads) },
    results: [...found],
  })
  const name = `${[parts.join('-'), values.only.replaceAll(/\W+/g, '-')].filter(Boolean).join('-')}.json`
  const results = await runCases(planned, {
    ...{ seed, isQuick: values.quick, heartbeatSeconds, lanes, say },
    async done(found) {
      if (values.save === undefined) return
      await mkdir(values.save, { recursive: true })
      await writeFile(join(values.save, name), JSON.stringify(savedAs(found), null, 2))
    },
  })
  const isWhole = !values.quick && values.only === '' && values.part === undefined
  if (isWhole) await writePage([savedAs(results)])
  const failed = results.filter(({ verdict }) => verdict.state === 'failed')
  for (const { kind, run: number } of failed) say(`failed with --seed ${seed}: ${kind}, run ${number}`)
  const count = (state: string) => results.filter(({ verdict }) => verdict.state === state).length
  if (count('left out') > 0) say(`${count('left out')} not possible on this machine`)
  say(`${count('passed')} passed, ${count('failed')} failed`)
  return failed.length > 0 ? 1 : 0
}
