import { checkNoProcessLeft, checkOutcome, committedAdapter } from './check-outcome.ts'
import { type FaultCase, type Measured, NotPossibleHere } from './fault-case.ts'
import { FaultJob, type FaultJobOptions } from './fault-job.ts'
import { type Lane, openLane } from './lane.ts'
import { seededRandom } from '../store/support/run-scenario.ts'
import { type Surroundings, openSurroundings } from './surroundings.ts'

export interface RunOptions {
  seed: number
  heartbeatSeconds: number
  lanes: number
  say(line: string): void
}

export interface PlannedRun {
  fault: FaultCase
  /** Of its kind, from 1. */
  run: number
}

export type Verdict = { state: 'passed'; measured: Measured } | { state: 'failed' | 'left out'; why: string }

export type FaultResult = PlannedRun & { seed: number; seconds: number; verdict: Verdict }

/** Enough for a kill at any seeded moment of the first steps to hit a training that is under way. */
const STEPS = 700

/** Runs all, lanes side by side, each case under its own seed; the order does not change what a case draws. */
export async function runCases(
  planned: readonly PlannedRun[],
  { seed, heartbeatSeconds, lanes: count, say }: RunOptions,
): Promise<FaultResult[]> {
  const place = await openSurroundings()
  const lanes: Lane[] = []
  const results: FaultResult[] = []
  try {
    for (let lane = 0; lane < count; lane++) lanes.push(await openLane())
    const [first] = lanes
    if (first === undefined) throw new Error('a run needs a lane')
    // Training of another number of steps ends with another adapter.
    const undisturbed = new Map<number, Promise<string>>()
    const adapterAfter = (lane: Lane, options: FaultJobOptions): Promise<string> => {
      const known = undisturbed.get(options.steps)
      if (known) return known
      const adapter = undisturbedAdapter(place, lane, { ...options, name: `undisturbed-${options.steps}` })
      undisturbed.set(options.steps, adapter)
      return adapter
    }
    await adapterAfter(first, { name: '', heartbeatSeconds, steps: STEPS })
    const queue = [...planned]
    const serve = async (lane: Lane): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const caseSeed = seedOf(seed, next)
        const options: FaultJobOptions = {
          name: `${next.fault.kind.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${next.run}`.replace(/^-/, ''),
          heartbeatSeconds,
          steps: STEPS,
          ...next.fault.options,
        }
        const began = performance.now()
        const verdict = await judge(next.fault, caseSeed, place, lane, options, adapterAfter)
        const result = { ...next, seed, seconds: (performance.now() - began) / 1000, verdict }
        results.push(result)
        say(lineOf(result))
      }
    }
    await Promise.all(lanes.map(serve))
    return results
  } finally {
    for (const lane of lanes) await lane.close()
    await place.close()
  }
}

async function judge(
  fault: FaultCase,
  seed: number,
  place: Surroundings,
  lane: Lane,
  options: FaultJobOptions,
  adapterAfter: (lane: Lane, options: FaultJobOptions) => Promise<string>,
): Promise<Verdict> {
  try {
    const undisturbed = await adapterAfter(lane, options)
    const job = await FaultJob.open(place, lane, options)
    let measured: Measured
    try {
      measured = await fault.run(job, seededRandom(seed))
    } finally {
      await job.close()
    }
    await checkOutcome(job, undisturbed, { quarantined: fault.spoils ?? 0 })
    checkNoProcessLeft(job)
    return { state: 'passed', measured }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { state: error instanceof NotPossibleHere ? 'left out' : 'failed', why }
  }
}

async function undisturbedAdapter(
  place: Surroundings,
  lane: Lane,
  options: FaultJobOptions,
): Promise<string> {
  const job = await FaultJob.open(place, lane, options)
  try {
    await job.worker()
    await job.submit()
    await job.finish()
  } finally {
    await job.close()
  }
  return committedAdapter(job.store)
}

/** Every case draws from numbers of its own, whatever runs beside it. */
function seedOf(seed: number, { fault, run }: PlannedRun): number {
  let hash = seed
  for (const character of `${fault.kind}/${run}`) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0
  return hash
}

function lineOf({ fault, run, seed, seconds, verdict }: FaultResult): string {
  const at = `${fault.kind}, run ${run} (seed ${seed}, ${seconds.toFixed(0)} s)`
  if (verdict.state !== 'passed') return `${verdict.state}: ${at}: ${verdict.why}`
  const { recoverySeconds, stepsLost } = verdict.measured
  const recovery =
    recoverySeconds === undefined ? '' : `, on its way again after ${recoverySeconds.toFixed(1)} s`
  return `passed: ${at}${recovery}${stepsLost === undefined ? '' : `, ${stepsLost} steps again`}`
}
