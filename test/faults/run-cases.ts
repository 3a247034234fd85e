import { adapterOf, checkNoProcessLeft, checkOutcome, tunedLoss } from './check-outcome.ts'
import { type FaultCase, type Measured, NotPossibleHere, type Undisturbed } from './fault-case.ts'
import { FaultJob, type FaultJobOptions } from './fault-job.ts'
import { type Lane, openLane } from './lane.ts'
import { TookTooLong, within } from './limit.ts'
import { seededRandom } from '../store/support/run-scenario.ts'
import { type Surroundings, openSurroundings } from './surroundings.ts'
import { usedMemory } from './used-memory.ts'

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
const STEPS = { quick: 400, whole: 500 }
/** A run takes seconds; a busy machine takes its time. What takes longer stands still. */
const LIMIT_SECONDS = { quick: 240, whole: 600 }
const CLOSE_SECONDS = 150

/** Runs all, lanes side by side, each case under its own seed; the order does not change what a case draws. */
export async function runCases(planned: readonly PlannedRun[], options: RunOptions): Promise<FaultResult[]> {
  if (new Set(planned.map(nameOf)).size < planned.length) throw new Error('two runs have one name')
  const place = await openSurroundings()
  const lanes: Lane[] = []
  const results: FaultResult[] = []
  try {
    lanes.push(...(await Promise.all(Array.from({ length: options.lanes }, () => openLane()))))
    const undisturbed = new Map<string, Promise<Undisturbed>>()
    const queue = planned.flatMap((one): ((lane: Lane) => Promise<void>)[] => [
      // Taken before the first run that needs it, and beside that run where lanes are free.
      ...undisturbedFirst(one, options, undisturbed).map(
        (run) => (lane: Lane) => run({ ...options, place, lane, undisturbed }),
      ),
      async (lane) => {
        const result = await runOne(one, { ...options, place, lane, undisturbed })
        results.push(result)
        options.say(lineOf(result))
        await options.done(results)
      },
    ])
    const serve = async (lane: Lane): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await next(lane)
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
  const { isQuick, seed } = at
  const against = fault.against ?? 'adapter'
  const options = optionsOf(planned, at)
  const undisturbed = (): Promise<Undisturbed> => {
    const found = at.undisturbed.get(recipeOf(options))
    if (found === undefined) throw new Error('nothing to hold it against')
    return found
  }
  const random = seededRandom(seedOf(seed, planned))
  const { job, result } = await jobToItsEnd(options, at, (opened) =>
    fault.run(opened, random, { number: run, isQuick, undisturbed }),
  )
  if (fault.checks !== 'itself') await checkOutcome(job, { quarantined: fault.spoils ?? 0 })
  checkNoProcessLeft(job)
  if (against === 'itself') return result
  const expected = await undisturbed()
  if (against === 'adapter') {
    const adapter = await adapterOf(job.store)
    if (adapter !== expected.adapter) throw new Error('the adapter differs from that of an undisturbed run')
  } else {
    const loss = await tunedLoss(job.store)
    const difference = Math.abs(loss - expected.loss) / expected.loss
    if (!(difference <= against.loss))
      throw new Error(`the evaluation loss is ${loss}, undisturbed ${expected.loss}`)
    const note = `evaluation loss ${loss.toFixed(5)}, undisturbed ${expected.loss.toFixed(5)}`
    return { ...result, note: [result.note, note].filter(Boolean).join('; ') }
  }
  return result
}

function optionsOf(planned: PlannedRun, { isQuick, heartbeatSeconds }: RunOptions): FaultJobOptions {
  const { fault } = planned
  return {
    name: nameOf(planned),
    heartbeatSeconds: fault.isMeasured ? heartbeatSeconds.measured : heartbeatSeconds.short,
    steps: isQuick ? STEPS.quick : STEPS.whole,
    limitSeconds: isQuick ? LIMIT_SECONDS.quick : LIMIT_SECONDS.whole,
    ...fault.options,
  }
}

/** Jobs of one recipe end with the same adapter. */
function recipeOf(options: FaultJobOptions): string {
  const {
    name: _,
    heartbeatSeconds: __,
    checkpoint: ___,
    limitSeconds: ____,
    isWhole: _____,
    ...recipe
  } = options
  return JSON.stringify(recipe)
}

/** The same job with nothing done to it, once for all runs that are held against it; nothing where it is known already. */
function undisturbedFirst(
  planned: PlannedRun,
  options: RunOptions,
  undisturbed: Map<string, Promise<Undisturbed>>,
): ((at: Place) => Promise<void>)[] {
  const jobOptions = optionsOf(planned, options)
  const recipe = recipeOf(jobOptions)
  if (planned.fault.against === 'itself' || undisturbed.has(recipe)) return []
  const found = Promise.withResolvers<Undisturbed>()
  // Heard by the runs that are held against it.
  found.promise.catch(() => {})
  undisturbed.set(recipe, found.promise)
  const name = `undisturbed-${undisturbed.size}`
  return [(at) => undisturbedRun({ ...jobOptions, name }, at).then(found.resolve, found.reject)]
}

async function undisturbedRun(options: FaultJobOptions, at: Place): Promise<Undisturbed> {
  const { job, result } = await jobToItsEnd(options, at, async (opened) => {
    const worker = await opened.worker()
    await opened.submit()
    return await usedMemory(worker, opened.finish())
  })
  return { adapter: await adapterOf(job.store), loss: await tunedLoss(job.store), memory: result }
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

/** Of its job and its place in the store. */
function nameOf({ fault, run }: PlannedRun): string {
  return `${fault.kind.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${run}`.replace(/^-/, '')
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
