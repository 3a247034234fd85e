/** An event of ONNX Runtime's profile. Times in microseconds. */
export interface TraceEvent {
  cat: string
  name: string
  ts: number
  dur: number
  args?: { op_name?: string; input_type_shape?: Record<string, number[]>[] }
}

export interface ProfileLine {
  /** The session: keeping (forward), backward, head-train. */
  pass: string
  operator: string
  /** A step. */
  milliseconds: number
  /** A step. */
  calls: number
}

/** The time of each operator in each session's profile, the first of `steps` + 1 equal steps left out, dearest first. */
export function profileLines(
  traces: ReadonlyMap<string, readonly TraceEvent[]>,
  steps: number,
  detail: boolean,
): ProfileLine[] {
  const lines = new Map<string, ProfileLine>()
  for (const [pass, events] of traces) {
    const runs = events.filter(({ name }) => name === 'model_run').map(({ ts }) => ts).sort((a, b) => a - b) // prettier-ignore
    const start = runs[runs.length / (steps + 1)] ?? Infinity
    for (const { cat, ts, dur, name, args } of events) {
      if (cat !== 'Node' || ts < start || !name.endsWith('_kernel_time')) continue
      const operator = detail ? `${args?.op_name} ${shapesOf(args)}` : (args?.op_name ?? name)
      const key = `${pass} ${operator}`
      const line = lines.get(key) ?? { pass, operator, milliseconds: 0, calls: 0 }
      lines.set(key, line)
      line.milliseconds += dur / 1000 / steps
      line.calls += 1 / steps
    }
  }
  return Array.from(lines.values(), (line) => ({
    ...line,
    milliseconds: Math.round(line.milliseconds * 10) / 10,
    calls: Math.round(line.calls),
  })).sort((a, b) => b.milliseconds - a.milliseconds)
}

function shapesOf(args: TraceEvent['args']): string {
  const shapes = (args?.input_type_shape ?? []).flatMap((input) =>
    Object.entries(input).map(([type, shape]) => `${type === 'float' ? '' : type}[${shape.join(',')}]`),
  )
  return shapes.join(' ')
}
