import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import type { TrainMeasurement } from './train-measure.ts'

/**
 * One training step's speed and memory, on random tokens with the loss at every position, LoRA r16 on all linear layers,
 * AdamW included: what bench/peers measures of others. Each measurement has a process of its own, so that one's memory
 * is not another's.
 */
export async function benchTrain(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string' },
      sequence: { type: 'string', default: '512' },
      batch: { type: 'string', default: '1' },
      steps: { type: 'string', default: '5' },
      threads: { type: 'string', default: '2' },
      layout: { type: 'string', default: 'by-layer' },
      json: { type: 'boolean', default: false },
    },
  })
  if (values.model === undefined) throw new Error('name a model folder or .gguf file with --model')
  const { model, sequence, batch, steps, threads, layout } = values
  const child = fileURLToPath(new URL('train-measure.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [
    child,
    model,
    sequence,
    batch,
    steps,
    threads,
    layout,
  ])
  const line = JSON.parse(stdout) as TrainMeasurement
  if (values.json) console.log(JSON.stringify(line))
  else console.table([line])
}
