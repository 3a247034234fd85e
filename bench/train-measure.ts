import { CHECKPOINTINGS, PRECISIONS } from '../src/model/precision.ts'
import { trainingSteps } from './training-steps.ts'

const [model = '', ...rest] = process.argv.slice(2)
const [sequence = 512, batch = 1, steps = 5, threads = 2] = rest.slice(0, 4).map(Number)
const layout = rest[4] === 'whole' ? 'whole' : 'by-layer'
const precision = PRECISIONS.find((known) => known === rest[5]) ?? 'exact'

const device = rest[7] === 'cuda' ? 'cuda' : 'cpu'
const checkpointing = CHECKPOINTINGS.find((known) => known === rest[6])

const { seconds, cpuSeconds, firstStep, loss, ...more } = await trainingSteps({ model, sequence, batch, steps, threads, layout, precision, checkpointing, device }) // prettier-ignore
// Without a further step the first one, which makes the sessions, has to do.
const median = seconds.length > 0 ? middle(seconds) : (more.start.takeFirstStep ?? NaN)
console.log(
  JSON.stringify({
    mode: precision,
    layout,
    device,
    ...(checkpointing && { checkpointing }),
    batch,
    sequence,
    tokensPerSecond: Math.round((10 * batch * sequence) / median) / 10,
    cpuSecondsPerStep: Math.round(1000 * middle(cpuSeconds)) / 1000,
    bestTokensPerSecond: Math.round((10 * batch * sequence) / (seconds[0] ?? median)) / 10,
    firstStepSeconds: Math.round(firstStep * 10) / 10,
    loss,
    ...more,
  }),
)

/** Sorts in place. */
function middle(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? NaN
}
