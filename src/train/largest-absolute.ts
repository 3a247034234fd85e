/** The largest absolute value; NaN where one is NaN. */
export function largestAbsolute(values: Float32Array): number {
  let largest = 0
  for (let i = 0; i < values.length; i++) {
    const value = Math.abs(values[i] as number)
    if (Number.isNaN(value)) return NaN
    if (value > largest) largest = value
  }
  return largest
}
