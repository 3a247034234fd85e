import { PRECISIONS } from '../src/model/precision.ts'
import { trainingSteps } from './training-steps.ts'

const [model = '', ...rest] = process.argv.slice(2)
const [sequence = 512, batch = 1, steps = 5, threads = 2] = rest.slice(0, 4).map(Number)
const layout = rest[4] === 'whole' ? 'whole' : 'by-layer'
const precision = PRECISIONS.find((known) => known === rest[5]) ?? 'exact'

const { seconds, firstStep, loss } = await trainingSteps({ model, sequence, batch, steps, threads, layout, precision }) // prettier-ignore
const median = seconds.sort((a, b) => a - b)[seconds.length >> 1] ?? NaN
console.log(
  JSON.stringify({
    mode: precision,
    layout,
    batch,
    sequence,
    tokensPerSecond: Math.round((10 * batch * sequence) / median) / 10,
    bestTokensPerSecond: Math.round((10 * batch * sequence) / (seconds[0] ?? NaN)) / 10,
    firstStepSeconds: Math.round(firstStep * 10) / 10,
    loss,
  }),
)
