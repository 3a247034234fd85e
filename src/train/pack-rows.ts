/**
 * Rows joined into packs of at most `capacity` tokens: best fit, decreasing, as TRL's packing strategy `bfd`. The longest row comes
 * first, and each goes into the fullest pack that still has room, so that few tokens are padding and no row is cut. A row that is
 * longer than the capacity is a pack of its own. Equal lengths give equal packs: nothing is drawn. Returns the rows of each pack.
 */
export function packRows(lengths: ArrayLike<number>, capacity: number): number[][] {
  const order = Array.from({ length: lengths.length }, (_, row) => row)
  const lengthOf = (row: number): number => lengths[row] as number
  order.sort((a, b) => lengthOf(b) - lengthOf(a) || a - b)
  const packs: number[][] = []
  /** Packs by the room that is left in them, and these rooms ascending: a search finds the smallest that is enough. */
  const byRoom = new Map<number, number[]>()
  const rooms: number[] = []
  const put = (pack: number, room: number): void => {
    const found = byRoom.get(room)
    if (found) found.push(pack)
    else {
      byRoom.set(room, [pack])
      rooms.splice(firstFrom(rooms, room), 0, room)
    }
  }
  for (const row of order) {
    const length = lengthOf(row)
    const at = firstFrom(rooms, length)
    const room = rooms[at]
    if (room === undefined) {
      put(packs.push([row]) - 1, capacity - length)
      continue
    }
    const open = byRoom.get(room) as number[]
    const pack = open.shift() as number
    if (open.length === 0) {
      byRoom.delete(room)
      rooms.splice(at, 1)
    }
    packs[pack]?.push(row)
    put(pack, room - length)
  }
  return packs
}

/** The place of the first entry of an ascending list that is `least` or more. */
function firstFrom(ascending: readonly number[], least: number): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ascending[middle] as number) < least) low = middle + 1
    else high = middle
  }
  return low
}
