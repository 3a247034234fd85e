/** `learning_rate`, `learning-rate` and `LearningRate` are all learningRate. */
const normalise = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '')

/** Levenshtein distance in which two exchanged neighbours count as one slip (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let best = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + (same ? 0 : 1),
      )
      const exchanged = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (exchanged) best = Math.min(best, (beforePrevious[column - 2] ?? 0) + 1)
      current.push(best)
    }
    beforePrevious = previous
    previous = current
  }
  return previous[b.length] ?? 0
}

/** Longer names than this are no slips of the pen; also bounds the quadratic distance. */
const MAX_NAME = 64
/** A word this short is part of too many names to point at one. */
const SHORTEST_PART = 4

/**
 * The name most like `written`, or undefined where none is near. Near is a distance of up to a third of the letters (two
 * in a short word), or one name being part of the other: `dropout` is meant for loraDropout.
 */
export function nearestName(written: string, names: Iterable<string>): string | undefined {
  const wanted = normalise(written)
  if (wanted === '' || wanted.length > MAX_NAME) return undefined
  const limit = Math.max(2, Math.floor(wanted.length / 3))
  let nearest: string | undefined
  let least = Infinity
  for (const name of names) {
    const candidate = normalise(name)
    const distance = editDistance(wanted, candidate)
    const shorter = Math.min(wanted.length, candidate.length)
    const isPart = shorter >= SHORTEST_PART && (candidate.includes(wanted) || wanted.includes(candidate))
    const isNear = distance <= limit && distance < shorter
    // A part is no slip of the pen, so every near name goes before it; among parts the nearest in length wins.
    const rank = isNear ? distance : isPart ? MAX_NAME + distance : Infinity
    if (rank < least) {
      least = rank
      nearest = name
    }
  }
  return nearest
}
