import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BY_LAYER_PRECISIONS } from '../src/model/precision.ts'
import { profileLines, type TraceEvent } from './profile-lines.ts'
import { trainingSteps } from './training-steps.ts'

/**
 * Where a training step's time goes, by kind of operator: ONNX Runtime's own profile of the step that `bench train`
 * measures, the warm-up left out. The profiler itself costs about a tenth. With --detail one line for each operator and shape.
 */
export async function benchProfile(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string' },
      mode: { type: 'string', default: 'exact' },
      sequence: { type: 'string', default: '512' },
      batch: { type: 'string', default: '1' },
      steps: { type: 'string', default: '3' },
      threads: { type: 'string', default: '2' },
      detail: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const { model } = values
  if (model === undefined) throw new Error('name a model folder or .gguf file with --model')
  const precision = BY_LAYER_PRECISIONS.find((known) => known === values.mode)
  if (!precision)
    throw new Error(`there is no mode ${values.mode}; name one of ${BY_LAYER_PRECISIONS.join(', ')}`)
  const [sequence, batch, steps, threads] = [values.sequence, values.batch, values.steps, values.threads].map(Number) as [number, number, number, number] // prettier-ignore
  const profileTo = mkdtempSync(join(tmpdir(), 'temper-profile-'))
  try {
    const { seconds } = await trainingSteps({
      model,
      sequence,
      batch,
      steps,
      threads,
      precision,
      layout: 'by-layer',
      profileTo,
    })
    const traces = new Map(
      readdirSync(profileTo).map((file) => [
        file.slice(0, file.lastIndexOf('_', file.lastIndexOf('_') - 1)),
        JSON.parse(readFileSync(join(profileTo, file), 'utf8')) as TraceEvent[],
      ]),
    )
    const lines = profileLines(traces, steps, values.detail)
    const inside = lines
      .filter(({ operator }) => operator !== 'all')
      .reduce((sum, line) => sum + line.milliseconds, 0)
    const step = (1000 * seconds.reduce((a, b) => a + b, 0)) / steps
    const all = [...lines, { pass: 'outside of operators', operator: '', milliseconds: Math.round((step - inside) * 10) / 10, calls: 0 }] // prettier-ignore
    const shown = all.map((line) => ({
      bench: 'profile',
      mode: precision,
      ...line,
      percent: Math.round((1000 * line.milliseconds) / step) / 10,
    }))
    if (values.json) for (const line of shown) console.log(JSON.stringify(line))
    else console.table(shown, ['pass', 'operator', 'milliseconds', 'percent', 'calls'])
  } finally {
    rmSync(profileTo, { recursive: true })
  }
}
