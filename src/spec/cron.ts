/** The fields of a cron line as Temporal reads it, with their bounds. Names stand for numbers from the lower bound on. */
const FIELDS = {
  second: { from: 0, to: 59, names: [] },
  minute: { from: 0, to: 59, names: [] },
  hour: { from: 0, to: 23, names: [] },
  dayOfMonth: { from: 1, to: 31, names: [] },
  month: { from: 1, to: 12, names: 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ') },
  dayOfWeek: { from: 0, to: 7, names: 'sun mon tue wed thu fri sat'.split(' ') },
  year: { from: 2000, to: 2100, names: [] },
} as const
type Field = keyof typeof FIELDS

const LINES: Record<number, readonly Field[]> = {
  5: ['minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek'],
  6: ['minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek', 'year'],
  7: ['second', 'minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek', 'year'],
}

/** After so many years weekdays and leap days come round again. */
const CYCLE_YEARS = 28
const DAY_MILLISECONDS = 86_400_000

/**
 * What is wrong with a cron line as a clause for the user, or undefined where it fires some day after `now`. Day of month and
 * day of week must both match, as Temporal has it; other crons take either.
 */
export function cronProblem(line: string, now: Date): string | undefined {
  const parts = line.trim().split(/\s+/)
  const fields = LINES[parts.length]
  if (fields === undefined) {
    return 'must have 5 fields (minute hour day-of-month month day-of-week), 6 (and the year) or 7 (the second before, the year behind)'
  }
  const sets: Partial<Record<Field, Set<number>>> = {}
  for (const [index, field] of fields.entries()) {
    const values = valuesOf(parts[index] ?? '', field)
    if (values === undefined) {
      const { from, to } = FIELDS[field]
      return `has ${JSON.stringify(parts[index])} for the ${wordsOf(field)}, which must be made of *, numbers from ${from} to ${to}, ranges a-b and steps /n, with commas between`
    }
    sets[field] = values
  }
  return fires(sets, now)
    ? undefined
    : 'never fires: no day from now on is in all of its fields; mend its day, month or year'
}

function wordsOf(field: Field): string {
  return field.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

function valuesOf(text: string, field: Field): Set<number> | undefined {
  const { from, to } = FIELDS[field]
  const values = new Set<number>()
  for (const part of text.split(',')) {
    const match = /^(\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:\/([0-9]+))?$/i.exec(part)
    if (match === null) return undefined
    const [, whole, first, last, step] = match
    const start = whole === '*' ? from : numberOf(first ?? '', field)
    const end =
      whole === '*' ? to : last !== undefined ? numberOf(last, field) : step === undefined ? start : to
    const stride = Number(step ?? 1)
    if (start === undefined || end === undefined || stride < 1) return undefined
    if (start < from || end > to || start > end) return undefined
    for (let value = start; value <= end; value += stride)
      values.add(field === 'dayOfWeek' ? value % 7 : value)
  }
  return values
}

function numberOf(text: string, field: Field): number | undefined {
  const name = (FIELDS[field].names as readonly string[]).indexOf(text.toLowerCase())
  if (name >= 0) return name + FIELDS[field].from
  return /^[0-9]{1,4}$/.test(text) ? Number(text) : undefined
}

/** Whether any day of a whole cycle is in all sets; times of a day always come. */
function fires(sets: Partial<Record<Field, Set<number>>>, now: Date): boolean {
  const { dayOfMonth, month, dayOfWeek, year } = sets
  const begin = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate())
  const last = Math.max(now.getUTCFullYear() + CYCLE_YEARS, ...(year ?? []).values())
  for (let time = begin; new Date(time).getUTCFullYear() <= last; time += DAY_MILLISECONDS) {
    const day = new Date(time)
    if (
      dayOfMonth?.has(day.getUTCDate()) &&
      month?.has(day.getUTCMonth() + 1) &&
      dayOfWeek?.has(day.getUTCDay()) &&
      (year?.has(day.getUTCFullYear()) ?? true)
    )
      return true
  }
  return false
}
