/** One thing that is wrong with a document: where, and one clause that says what and how to mend it. */
export interface Problem {
  path: readonly PropertyKey[]
  text: string
  /** A required field is not there; dropped where a misspelt name is meant for it. */
  missing?: true
}

/** `spec.data.train[0]` */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((segment, index) =>
      typeof segment === 'number' ? `[${segment}]` : `${index > 0 ? '.' : ''}${String(segment)}`,
    )
    .join('')
}

/** Longer values are cut in a message. */
const MAX_SHOWN = 60

/** A user's value for a message, one line and short. */
export function valueText(value: unknown): string {
  if (value === null) return 'empty'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return 'a mapping'
  // NaN and Infinity, which YAML can write, have no JSON.
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value)
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
