/** Hours between two failures that a training on one machine may count on: what large fleets report, and patient for one. */
const SECONDS_BETWEEN_FAILURES = 3 * 3600
/** Before the first save was timed. */
const ASSUMED_SAVE_SECONDS = 0.2
/** No more often, since each save also costs the store a few requests; no more seldom, since losing a quarter of an hour is felt. */
const LEAST_SECONDS = 15
const MOST_SECONDS = 900

/**
 * Seconds between two checkpoints that lose the least time in all, to saving and to doing again: √(2·MTBF·save time), Young's
 * formula.
 */
export function checkpointInterval(saveSeconds: number = ASSUMED_SAVE_SECONDS): number {
  return Math.min(
    MOST_SECONDS,
    Math.max(LEAST_SECONDS, Math.sqrt(2 * SECONDS_BETWEEN_FAILURES * saveSeconds)),
  )
}
