import { adapterOf, checkNoProcessLeft, checkOutcome, tunedLoss } from './check-outcome.ts'
import { type FaultCase, type Measured, NotPossibleHere, type Undisturbed } from './fault-case.ts'
import { FaultJob, type FaultJobOptions } from './fault-job.ts'
import { type Lane, openLane } from './lane.ts'
import { TookTooLong, within } from './limit.ts'
import { seededRandom } from '../store/support/run-scenario.ts'
import { type Surroundings, openSurroundings } from './surroundings.ts'

export interface RunOptions {
  seed: number
  isQuick: boolean
  /** Where recovery is measured, and everywhere else. */
  heartbeatSeconds: { measured: number; short: number }
  lanes: number
  say(line: string): void
  /** Hears of all results so far whenever there is one more: a run that is stopped has not been for nothing. */
  done(results: readonly FaultResult[]): Promise<void>
}

export interface PlannedRun {
  fault: FaultCase
  /** Of its kind, from 1. */
  run: number
}

export type Verdict = { state: 'passed'; measured: Measured } | { state: 'failed' | 'left out'; why: string }

/** What is kept of a run: the report is made from these. */
export interface FaultResult extends Pick<FaultCase, 'part' | 'kind' | 'what'> {
  run: number
  seed: number
  seconds: number
  verdict: Verdict
}

/** Enough for a fault at any seeded moment of the first steps to hit a training that is under way. */
const STEPS = 600
/** A run takes seconds; a busy machine takes its time. What takes longer stands still. */
const LIMIT_SECONDS = { quick: 240, whole: 420 }
const CLOSE_SECONDS = 150

/** Runs all, lanes side by side, each case under its own seed; the order does not change what a case draws. */
export async function runCases(planned: readonly PlannedRun[], options: RunOptions): Promise<FaultResult[]> {
  const place = await openSurroundings()
  const lanes: Lane[] = []
  const results: FaultResult[] = []
  try {
    lanes.push(...(await Promise.all(Array.from({ length: options.lanes }, () => openLane()))))
    const undisturbed = new Map<string, Promise<Undisturbed>>()
    const queue = [...planned]
    const serve = async (lane: Lane): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const result = await runOne(next, { ...options, place, lane, undisturbed })
        results.push(result)
        options.say(lineOf(result))
        await options.done(results)
      }
    }
    await Promise.all(lanes.map(serve))
    return results
  } finally {
    for (const lane of lanes) await within(CLOSE_SECONDS, 'a Temporal server to end', lane.close())
    await within(CLOSE_SECONDS, 'the S3 server to end', place.close())
  }
}

interface Place extends RunOptions {
  place: Surroundings
  lane: Lane
  undisturbed: Map<string, Promise<Undisturbed>>
}

async function runOne({ fault, run }: PlannedRun, at: Place): Promise<FaultResult> {
  const { part, kind, what } = fault
  const { seed } = at
  const began = performance.now()
  let verdict: Verdict
  try {
    verdict = { state: 'passed', measured: await passed({ fault, run }, at) }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    verdict = { state: error instanceof NotPossibleHere ? 'left out' : 'failed', why }
  }
  return { part, kind, what, run, seed, seconds: (performance.now() - began) / 1000, verdict }
}

/** Runs the case and checks all that has to be true afterwards. */
async function passed(planned: PlannedRun, at: Place): Promise<Measured> {
  const { fault, run } = planned
  const { isQuick, heartbeatSeconds, seed } = at
  const against = fault.against ?? 'adapter'
  const options: FaultJobOptions = {
    name: `${fault.kind.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${run}`.replace(/^-/, ''),
    heartbeatSeconds: fault.isMeasured ? heartbeatSeconds.measured : heartbeatSeconds.short,
    steps: STEPS,
    limitSeconds: isQuick ? LIMIT_SECONDS.quick : LIMIT_SECONDS.whole,
    ...fault.options,
  }
  const expected = against === 'itself' ? undefined : await undisturbedRun(options, at)
  const random = seededRandom(seedOf(seed, planned))
  const { job, result } = await jobToItsEnd(options, at, (opened) =>
    fault.run(opened, random, { number: run, isQuick }),
  )
  if (fault.checks !== 'itself') await checkOutcome(job, { quarantined: fault.spoils ?? 0 })
  checkNoProcessLeft(job)
  if (expected && against === 'adapter') {
    const adapter = await adapterOf(job.store)
    if (adapter !== expected.adapter) throw new Error('the adapter differs from that of an undisturbed run')
  } else if (expected && typeof against === 'object') {
    const loss = await tunedLoss(job.store)
    const difference = Math.abs(loss - expected.loss) / expected.loss
    if (!(difference <= against.loss))
      throw new Error(`the evaluation loss is ${loss}, undisturbed ${expected.loss}`)
    const note = `evaluation loss ${loss.toFixed(5)}, undisturbed ${expected.loss.toFixed(5)}`
    return { ...result, note: [result.note, note].filter(Boolean).join('; ') }
  }
  return result
}

/** The same job with nothing done to it, once for all runs that are held against it. */
function undisturbedRun(options: FaultJobOptions, at: Place): Promise<Undisturbed> {
  const {
    name: _,
    heartbeatSeconds: __,
    checkpoint: ___,
    limitSeconds: ____,
    isWhole: _____,
    ...recipe
  } = options
  const key = JSON.stringify(recipe)
  const known = at.undisturbed.get(key)
  if (known) return known
  const name = `undisturbed-${at.undisturbed.size + 1}`
  const run = jobToItsEnd({ ...options, name }, at, async (job) => {
    await job.worker()
    await job.submit()
    await job.finish()
  }).then(async ({ job: { store } }) => ({ adapter: await adapterOf(store), loss: await tunedLoss(store) }))
  at.undisturbed.set(key, run)
  return run
}

/** Whatever happens inside, it ends: within the limit, with no process left. */
async function jobToItsEnd<T>(
  options: FaultJobOptions,
  { place, lane }: Place,
  work: (job: FaultJob) => Promise<T>,
): Promise<{ job: FaultJob; result: T }> {
  const job = await FaultJob.open(place, lane, options)
  try {
    const result = await within(options.limitSeconds, 'the run to end', work(job))
    await within(CLOSE_SECONDS, 'the run to be cleared away', job.close())
    return { job, result }
  } catch (error) {
    if (error instanceof NotPossibleHere) {
      await within(CLOSE_SECONDS, 'the run to be cleared away', job.close())
      throw error
    }
    const where = job.abandon()
    const why = error instanceof Error ? error.message : String(error)
    throw new TookTooLong(`${why} (${where})`, { cause: error })
  }
}

/** Every case draws from numbers of its own, whatever runs beside it. */
function seedOf(seed: number, { fault, run }: PlannedRun): number {
  let hash = seed
  for (const character of `${fault.kind}/${run}`) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0
  return hash
}

function lineOf({ kind, run, seed, seconds, verdict }: FaultResult): string {
  const at = `${kind}, run ${run} (seed ${seed}, ${seconds.toFixed(0)} s)`
  if (verdict.state !== 'passed') return `${verdict.state}: ${at}: ${verdict.why}`
  const { recoveries = [], note } = verdict.measured
  const again = recoveries.map((one) => `${one.seconds.toFixed(1)} s/${one.stepsLost} steps`).join(', ')
  return `passed: ${at}${again && `, on its way again after ${again}`}${note ? `; ${note}` : ''}`
}
