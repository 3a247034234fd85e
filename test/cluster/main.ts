import { parseArgs } from 'node:util'
import type { ClusterCase } from './cluster-case.ts'
import { image } from './cases/image.ts'
import { install } from './cases/install.ts'
import { many } from './cases/many.ts'
import { outOfMemory } from './cases/out-of-memory.ts'
import { quickstart } from './cases/quickstart.ts'
import { deleted, evicted, nodeLost } from './cases/recovery.ts'
import { scaling } from './cases/scaling.ts'
import { writeSection } from '../support/page-section.ts'
import { recoverySection } from './recovery-times.ts'
import { openSurroundings, seconds } from './surroundings.ts'

// npm run test:cluster -- [--case NAME]... [--times N] [--report]
// Real control planes, nodes and servers. Last line: N passed, N failed, N not counted. --times: how often a training is disturbed.
// --report writes what was measured into docs/faults.md.

const CASES: readonly ClusterCase[] = [
  image,
  install,
  deleted,
  evicted,
  outOfMemory,
  nodeLost,
  scaling,
  quickstart,
  many,
]

const { values } = parseArgs({
  options: {
    case: { type: 'string', multiple: true },
    report: { type: 'boolean', default: false },
    times: { type: 'string', default: '6' },
  },
})
const unknown = values.case?.filter((name) => !CASES.some((one) => one.name === name)) ?? []
if (unknown.length > 0) {
  console.error(`no case ${unknown.join(', ')}; there are ${CASES.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}
const chosen = CASES.filter(({ name }) => values.case?.includes(name) ?? true)
const say = (line: string): void => console.log(line)
const counts = { passed: 0, failed: 0, 'not counted': 0 }
const place = await openSurroundings(say, Number(values.times))
try {
  for (const { name, what, missing, run } of chosen) {
    const reason = await missing()
    if (reason !== undefined) {
      counts['not counted']++
      say(`not counted: ${name}: ${reason}`)
      continue
    }
    say(`${name}: ${what}`)
    const began = performance.now()
    try {
      await run(place, (line) => say(`  ${line}`))
      counts.passed++
      say(`passed: ${name} (${seconds(began)})`)
    } catch (error) {
      counts.failed++
      say(`failed: ${name} (${seconds(began)}): ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
} finally {
  await place.close()
}
if (values.report && place.recoveries.length > 0)
  await writeSection(
    new URL('../../docs/faults.md', import.meta.url),
    'cluster',
    recoverySection(place.recoveries),
  )
say(
  Object.entries(counts)
    .map(([state, count]) => `${count} ${state}`)
    .join(', '),
)
process.exit(counts.failed > 0 ? 1 : 0)
