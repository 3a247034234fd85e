/**
 * Where a text holds Markdown code: fenced blocks and spans between backticks (CommonMark 4.5 and 6.1), as half-open ranges in
 * order. Linear in the text's length, whatever the text is.
 */
export function codeRanges(text: string): [number, number][] {
  const ranges: [number, number][] = []
  let at = 0
  for (const fence of fences(text)) {
    ranges.push(...spans(text, at, fence[0]), fence)
    at = fence[1]
  }
  ranges.push(...spans(text, at, text.length))
  return ranges
}

/** Fenced blocks. One that is never closed reaches to the end. */
function fences(text: string): [number, number][] {
  const found: [number, number][] = []
  let open: { start: number; mark: string } | undefined
  for (let start = 0; start < text.length;) {
    const newLine = text.indexOf('\n', start)
    const end = newLine === -1 ? text.length : newLine
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(text.slice(start, Math.min(end, start + MAX_FENCE)))?.[1]
    if (mark && !open) open = { start, mark }
    else if (mark && open && mark.startsWith(open.mark)) {
      found.push([open.start, end])
      open = undefined
    }
    start = end + 1
  }
  if (open) found.push([open.start, text.length])
  return found
}

/** Nobody writes a longer fence; keeps the slice of each line small. */
const MAX_FENCE = 100

/** Between two runs of equally many backticks. */
function spans(text: string, from: number, to: number): [number, number][] {
  const runs = [...text.slice(from, to).matchAll(/`+/g)].map((run) => ({
    start: from + run.index,
    length: run[0].length,
  }))
  const next = new Map<number, number>() // length of a run → the nearest such run to the right
  const closing: (number | undefined)[] = []
  for (let index = runs.length - 1; index >= 0; index--) {
    const length = runs[index]?.length ?? 0
    closing[index] = next.get(length)
    next.set(length, index)
  }
  const found: [number, number][] = []
  for (let index = 0; index < runs.length; index++) {
    const [open, end] = [runs[index], runs[closing[index] ?? -1]]
    if (!open || !end) continue
    found.push([open.start, end.start + end.length])
    index = closing[index] ?? index
  }
  return found
}
