import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measuredModule } from './measured-process.ts'
import { shapeLine, type ShapeLine } from './shape-line.ts'

const OPTIONS = {
  /** Folders, .gguf files or names of shapes (see shaped-model.ts). */
  models: { type: 'string' },
  mode: { type: 'string', default: 'exact' },
  checkpointing: { type: 'string', default: '' },
  /** rows×tokens, one after another: 1x512,4x512. */
  batches: { type: 'string', default: '1x512' },
  /** Steps after the first; with 0 the first, which makes the sessions, is what counts. */
  steps: { type: 'string', default: '1' },
  threads: { type: 'string', default: '2' },
  json: { type: 'boolean', default: false },
} as const

/** How a step's time and memory grow with length and model, beside what was reckoned: one process a point. */
export async function benchShapes(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: OPTIONS })
  const { models, steps, threads, checkpointing } = values
  if (models === undefined) throw new Error('name models with --models')
  const child = fileURLToPath(new URL('train-measure.ts', import.meta.url))
  const lines: ShapeLine[] = []
  for (const model of models.split(','))
    for (const mode of values.mode.split(','))
      for (const batch of values.batches.split(',')) {
        const [rows = '', tokens = ''] = batch.split('x')
        const given = [child, model, tokens, rows, steps, threads, 'by-layer', mode, checkpointing]
        const { lastLine, peakResidentMb } = await measuredModule(given)
        const line = shapeLine({ ...(JSON.parse(lastLine) as object), bench: 'shapes', model: basename(model), peakResidentMb }) // prettier-ignore
        if (values.json) console.log(JSON.stringify(line))
        lines.push(line)
      }
  if (!values.json) console.table(lines)
}
