/** transformers' get_length_grouped_indices: a group holds at most so many steps' rows, so that chance still mixes the epochs. */
const MOST_STEPS_A_GROUP = 50
const LEAST_GROUPS = 4

/**
 * An epoch's order with rows of like length side by side, as transformers' group_by_length: the random order is cut into groups of
 * many steps, each sorted from its longest row down. The longest row of all comes first, so that want of memory shows at once.
 */
export function groupByLength(
  order: Uint32Array,
  lengths: ArrayLike<number>,
  rowsPerStep: number,
): Uint32Array {
  const lengthOf = (row: number): number => lengths[row] as number
  const steps = Math.min(Math.floor(order.length / (rowsPerStep * LEAST_GROUPS)), MOST_STEPS_A_GROUP)
  const size = Math.max(1, steps) * rowsPerStep
  const grouped = new Uint32Array(order.length)
  let longest = 0
  for (let start = 0; start < order.length; start += size) {
    // A typed array's sort is stable: rows of one length keep their random order.
    const group = order.slice(start, start + size).sort((a, b) => lengthOf(b) - lengthOf(a))
    grouped.set(group, start)
    if (lengthOf(grouped[start] as number) > lengthOf(grouped[longest] as number)) longest = start
  }
  const first = grouped[0] as number
  grouped[0] = grouped[longest] as number
  grouped[longest] = first
  return grouped
}
