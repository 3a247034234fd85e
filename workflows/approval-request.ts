import { ApplicationFailure, condition, defineSignal, setHandler } from '@temporalio/workflow'
import { type Decision, decisionText, MAX_BY, MAX_COMMENT } from '../src/stages/decision.ts'
import type { Approval } from './job.ts'
import { approveSignal, rejectSignal } from './signals.ts'

/** What comes with a signal. Anybody who may signal has written it. */
export interface PersonsWords {
  by?: string
  comment?: string
}

const approve = defineSignal<[PersonsWords?]>(approveSignal)
const reject = defineSignal<[PersonsWords?]>(rejectSignal)

/**
 * Asks a person, and waits for as long as it takes: the question stands in the workflow's history, so no activity, no worker and no
 * machine is held. The first answer counts. One that comes before the question is passed over: it is about nothing yet.
 */
export class ApprovalRequest {
  readonly #onChange: (approval: Approval) => void
  #approval: Approval | undefined

  constructor(onChange: (approval: Approval) => void) {
    this.#onChange = onChange
    setHandler(approve, (words) => this.#decide('approved', words))
    setHandler(reject, (words) => this.#decide('rejected', words))
  }

  /** The approval. Throws the failure that ends the job where the answer is no; called again after a pause, it asks on. */
  async answer(): Promise<Decision> {
    this.#approval ??= { askedAt: Date.now() }
    const approval = this.#approval
    if (approval.decision === undefined) this.#onChange(approval)
    await condition(() => approval.decision !== undefined)
    const { decision } = approval
    if (decision === undefined) throw new Error('asked, and not answered')
    if (decision.answer === 'rejected') throw rejection(decision)
    return decision
  }

  #decide(answer: Decision['answer'], words: PersonsWords | undefined): void {
    if (this.#approval === undefined || this.#approval.decision !== undefined) return
    const by = plain(words?.by, MAX_BY)
    const comment = plain(words?.comment, MAX_COMMENT)
    this.#approval.decision = {
      answer,
      ...(by !== undefined && { by }),
      ...(comment !== undefined && { comment }),
      at: Date.now(),
    }
    this.#onChange(this.#approval)
  }
}

/** Type of the failure that ends a rejected job. No kind of failure: nothing went wrong. */
const REJECTED = 'rejected'

function rejection(decision: Decision): ApplicationFailure {
  return ApplicationFailure.nonRetryable(
    `The publication was ${decisionText(decision)}. Nothing is published; what the stages have made stays.`,
    REJECTED,
  )
}

export function isRejection(error: unknown): boolean {
  return error instanceof ApplicationFailure && error.type === REJECTED
}

/** One line within its limit, and without control characters: a terminal obeys them. Undefined where nothing is left. */
function plain(text: unknown, most: number): string | undefined {
  if (typeof text !== 'string') return undefined
  const line = text
    .replace(/\s+/g, ' ')
    .replace(/\p{Cc}/gu, '')
    .trim()
    .slice(0, most)
    // Half a sign, cut or sent so, would come back from an API server as another text.
    .toWellFormed()
  return line === '' ? undefined : line
}
