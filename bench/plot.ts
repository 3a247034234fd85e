import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { logLogPanel, type Series } from './log-log-panel.ts'
import { shapeLine, type ShapeLine } from './shape-line.ts'

const [WIDTH, HEIGHT] = [460, 300]

/** Draws what bench shapes has printed: time and memory of a step, by length (the smallest model) and by model (512 tokens). */
export async function benchPlot(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { out: { type: 'string' } },
  })
  if (values.out === undefined || positionals.length === 0)
    throw new Error('give files of JSON lines from bench shapes, and a file for the picture with --out')
  const lines = positionals
    .flatMap((file) => readFileSync(file, 'utf8').trim().split('\n'))
    .map((text) => shapeLine(JSON.parse(text)))
    .filter((line) => line.batch === 1)
  const smallest = Math.min(...lines.map((line) => line.parameters))
  const byLength = lines.filter((line) => line.parameters === smallest)
  const byModel = lines.filter((line) => line.sequence === 512)

  const seconds = (line: ShapeLine) => (line.batch * line.sequence) / line.tokensPerSecond
  const megabytes = (line: ShapeLine) => line.peakResidentMb
  const length = { name: 'tokens of the one row', of: (line: ShapeLine) => line.sequence, format: String }
  const size = { name: 'parameters, millions', of: (line: ShapeLine) => line.parameters / 1e6, format: (x: number) => String(Math.round(x)) } // prettier-ignore
  const panels = [
    { title: `${byLength[0]?.model ?? ''}: seconds a step`, lines: byLength, x: length, y: seconds },
    { title: `${byLength[0]?.model ?? ''}: peak memory, MB`, lines: byLength, x: length, y: megabytes, reckoned: true }, // prettier-ignore
    { title: '1 × 512 tokens: seconds a step', lines: byModel, x: size, y: seconds },
    { title: '1 × 512 tokens: peak memory, MB', lines: byModel, x: size, y: megabytes, reckoned: true },
  ].map(({ title, lines: shown, x, y, reckoned }, i) =>
    logLogPanel({
      title,
      xName: x.name,
      xFormat: x.format,
      series: seriesOf(shown, x.of, y, reckoned === true),
      left: (i % 2) * WIDTH,
      top: Math.floor(i / 2) * HEIGHT,
      width: WIDTH,
      height: HEIGHT,
    }),
  )
  const style = 'text{font:11px sans-serif;fill:#333}.title{font-size:13px;font-weight:bold}'
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * WIDTH} ${2 * HEIGHT}" role="img" aria-label="Time and memory of a training step by length and by model"><style>${style}</style><rect width="100%" height="100%" fill="#fff"/>${panels.join('')}</svg>\n`
  writeFileSync(values.out, svg)
}

/** One line for each mode; hollow points are what was reckoned before. */
function seriesOf(
  lines: readonly ShapeLine[],
  x: (line: ShapeLine) => number,
  y: (line: ShapeLine) => number,
  reckoned: boolean,
): Series[] {
  const names = [...new Set(lines.map(nameOf))]
  return names.map((name) => ({
    name,
    points: lines
      .filter((line) => nameOf(line) === name)
      .map((line) => ({ x: x(line), y: y(line), ...(reckoned && { reckoned: line.estimatedMb }) }))
      .sort((a, b) => a.x - b.x),
  }))
}

function nameOf({ mode, checkpointing }: ShapeLine): string {
  return checkpointing ? `${mode}, checkpointing ${checkpointing}` : mode
}
