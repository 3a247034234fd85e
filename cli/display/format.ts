/** Numbers as a person reads them. */

export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds)
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (whole < 120) return `${whole} s`
  if (whole < 3 * 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

export function formatLoss(loss: number): string {
  return loss.toFixed(loss < 0.1 ? 4 : 3)
}

export function formatBytes(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`
}

/** "-12.3 %" */
export function formatChange(before: number, after: number): string {
  const percent = ((after - before) / before) * 100
  return `${percent < 0 ? '' : '+'}${percent.toFixed(1)} %`
}

/** `text` in at most `width` columns; the end is cut away. */
export function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}
