/** Hex digits of an id that make a number which a double holds exactly (52 bits). */
const DIGITS = 13

/**
 * Whether a row is held out, from its content's hash alone: a share of `fraction` of all rows is, and a row is on the same side
 * in every run, whatever rows are added or removed beside it.
 */
export function isEvaluationRow(id: string, fraction: number): boolean {
  return Number.parseInt(id.slice(0, DIGITS), 16) / 16 ** DIGITS < fraction
}
