/** Whether no value is NaN or infinite. Any such value times zero is NaN, and a sum keeps it: one plain loop over a matrix. */
export function allFinite(values: Float32Array): boolean {
  let probe = 0
  for (let i = 0; i < values.length; i++) probe += (values[i] as number) * 0
  return probe === 0
}
