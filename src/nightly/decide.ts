export interface Look {
  /** Rows that no judged model has been trained on, each once. */
  newRows: number
  /** Rows seen before that the sources no longer hold. */
  vanished: number
  /** Since the last training that was judged; undefined before the first. */
  hoursSinceTraining: number | undefined
}

export interface DecisionRules {
  minNewRows: number
  maxAgeHours?: number
  onShrink: 'skip' | 'train'
}

export interface Decision {
  run: boolean
  why: 'newRows' | 'maxAge' | 'nothingNew' | 'tooFew' | 'shrunk'
  /** One sentence for the record. */
  text: string
}

/** Whether a night trains, from what was seen alone: the same look gives the same decision. */
export function decide(look: Look, rules: DecisionRules): Decision {
  const { newRows, vanished, hoursSinceTraining } = look
  const { minNewRows, maxAgeHours, onShrink } = rules
  if (vanished > 0 && onShrink === 'skip') {
    return skip(
      'shrunk',
      `${rows(vanished)} vanished from the sources; put them back, or set spec.newData.onShrink to train.`,
    )
  }
  if (newRows >= minNewRows) return { run: true, why: 'newRows', text: `New: ${rows(newRows)}.` }
  if (maxAgeHours !== undefined && hoursSinceTraining !== undefined && hoursSinceTraining >= maxAgeHours) {
    return {
      run: true,
      why: 'maxAge',
      text: `The last training is ${Math.floor(hoursSinceTraining)} hours ago.`,
    }
  }
  if (newRows === 0) return skip('nothingNew', 'Nothing is new.')
  return skip('tooFew', `New: ${rows(newRows)}, fewer than ${minNewRows}; they count for the next night.`)
}

const skip = (why: Decision['why'], text: string): Decision => ({ run: false, why, text })
const rows = (count: number) => `${count} ${count === 1 ? 'row' : 'rows'}`
