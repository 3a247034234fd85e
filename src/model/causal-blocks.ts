/** Below this, a block's products are too small to gain from what is left out (measured at 512 tokens: 4 blocks as good as 8). */
const SHORTEST_BLOCK = 64
const MOST_BLOCKS = 16

/** Into how many blocks attention's queries are cut: a power of two, so that few graphs serve all lengths. */
export function causalBlocks(length: number): number {
  let blocks = 1
  while (blocks < MOST_BLOCKS && length > 2 * SHORTEST_BLOCK * blocks) blocks *= 2
  return blocks
}
