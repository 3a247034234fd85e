import type { RetryRules } from './with-retries.ts'

/** The memory ladder of a stage that only measures: half the rows at once, down to one. The result does not depend on it. */
export function halving(rows: number): { rows(): number; rules: RetryRules } {
  let now = rows
  return {
    rows: () => now,
    rules: {
      relieve: () => {
        if (now === 1) return false
        now = Math.max(1, Math.floor(now / 2))
        return true
      },
    },
  }
}
