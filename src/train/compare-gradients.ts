/** How far gradients are from others: each layer's cosine, and ‖found - want‖ / ‖want‖ over all. */
export function compareGradients(
  found: ReadonlyMap<string, Float32Array>,
  want: ReadonlyMap<string, Float32Array>,
): { layers: number[]; error: number } {
  const sums: { dot: number; found: number; want: number }[] = []
  let difference = 0
  let total = 0
  for (const [name, values] of want) {
    const layer = Number(/\.layers\.(\d+)\./.exec(name)?.[1])
    const sum = (sums[layer] ??= { dot: 0, found: 0, want: 0 })
    const others = found.get(name)
    for (const [i, value] of values.entries()) {
      const other = others?.[i] ?? NaN
      sum.dot += value * other
      sum.found += other * other
      sum.want += value * value
      difference += (value - other) ** 2
      total += value * value
    }
  }
  return {
    layers: sums.map((sum) => sum.dot / Math.sqrt(sum.found * sum.want)),
    error: Math.sqrt(difference / total),
  }
}
