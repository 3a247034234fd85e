/** Both travel in a workflow's memo and stand on one line of a terminal. */
export const MAX_BY = 100
export const MAX_COMMENT = 1000

/** What a person has answered to a job that asks before it publishes. */
export interface Decision {
  answer: 'approved' | 'rejected'
  /** Who, in their own words: nobody has checked them. */
  by?: string
  comment?: string
  /** When, in milliseconds since 1970. */
  at: number
}

/** As a person says it: "approved by anna: reads well". */
export function decisionText({ answer, by, comment }: Omit<Decision, 'at'>): string {
  return `${answer}${by === undefined ? '' : ` by ${by}`}${comment === undefined ? '' : `: ${comment}`}`
}
