import { NonFiniteError } from '../errors.ts'
import type { AdamWState } from './adamw.ts'
import type { LogLine } from './child-protocol.ts'
import type { Engine } from './engine.ts'
import { isDiverging, type SpikeSettings } from './spike-watch.ts'
import { copyMoments, copyState, type TrainingRecord, type TrainingState } from './training-state.ts'

/**
 * Steps between the states that training can go back to. Fixed, and counted in steps: where a rescued training goes back to
 * must not hang on clocks, nor on how often it saves checkpoints. A state of an adapter and its moments is small.
 */
const GOOD_STATE_EVERY = 25

/** What training goes on with after it went back, beside the record and the adapter. */
export type GoodState = Pick<TrainingState, 'moments' | 'best'>

export interface RescueParts {
  engine: Engine
  record: TrainingRecord
  settings: SpikeSettings & { tries: number }
  log: (line: LogLine) => void
}

/**
 * What happens when the loss is not finite, or runs away: training goes back to its last good state, leaves out the batches
 * that it met, and goes on at half the rate. All of it is in the record, so that a resumed training does the same.
 */
export class Rescue {
  readonly #parts: RescueParts
  #good: TrainingState | undefined

  constructor(parts: RescueParts) {
    this.#parts = parts
  }

  /** Between two steps: keeps a state to go back to. A training that was resumed can go back no further than there. */
  keep(moments: Readonly<AdamWState>, best: TrainingState['best']): void {
    const { engine, record } = this.#parts
    const isDue = record.step % GOOD_STATE_EVERY === 0 && record.step !== this.#good?.record.step
    if (this.#good && (!isDue || this.isSuspicious)) return
    this.#good = copyState(record, engine.trained, moments, best)
  }

  /** The last losses were spikes: not a state to save. */
  get isSuspicious(): boolean {
    return this.#parts.record.rescue.streak > 0
  }

  /** The share of the schedule's rate that is left. */
  get rateFactor(): number {
    return 0.5 ** this.#parts.record.rescue.rollbacks.length
  }

  isLeftOut(step: number): boolean {
    return this.#parts.record.rescue.skipped.includes(step)
  }

  /** After a step, with its loss: what to go on with where training went back, else undefined. NonFiniteError when the tries are spent. */
  afterStep(loss: number): GoodState | undefined {
    const { record, settings } = this.#parts
    if (!isDiverging(record.rescue, loss, settings)) return undefined
    const { patience } = settings
    const steps = Array.from({ length: patience }, (_, i) => record.step - patience + i)
    const said = `The loss has run away: it was ${loss.toPrecision(4)} after step ${record.step}, the last of ${patience} such steps in a row; lower spec.train.learningRate or look at the rows`
    return this.#goBack('spike', steps, new NonFiniteError(said))
  }

  /** Instead of a step, or after an evaluation, that was not finite; `step` led there and is left out. As afterStep. */
  afterNonFinite(error: NonFiniteError, step: number): GoodState {
    return this.#goBack('notFinite', [step], error)
  }

  #goBack(reason: 'spike' | 'notFinite', leftOut: number[], error: NonFiniteError): GoodState {
    const { engine, record, settings, log } = this.#parts
    const { rollbacks, skipped } = record.rescue
    const good = this.#good
    if (good === undefined || rollbacks.length >= settings.tries) throw error
    const { step: from } = record
    const { adapter, moments, best, record: kept } = copyOf(good)
    for (const [name, { data }] of adapter) engine.trained.tensors.get(name)?.data.set(data)
    delete record.firstLoss
    delete record.lastLoss
    delete record.evaluation
    delete record.metricSchedule
    Object.assign(record, kept)
    record.rescue = {
      ...kept.rescue,
      skipped: [...skipped, ...leftOut],
      rollbacks: [...rollbacks, { step: from, to: record.step, reason, skipped: leftOut }],
    }
    // A training that was not resumed here would have gone back to another state.
    if (record.step % GOOD_STATE_EVERY !== 0) record.exact = false
    log({
      level: 'warn',
      message: `${error.message}; went back to step ${record.step}, leaving out what it met, at half the rate`,
      fields: { from, to: record.step, reason, leftOut, rateFactor: this.rateFactor },
    })
    return { moments, best }
  }
}

function copyOf(state: TrainingState): TrainingState {
  return {
    record: structuredClone(state.record),
    adapter: state.adapter,
    moments: copyMoments(state.moments),
    best: state.best,
  }
}
