import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CHECKPOINTINGS, PRECISIONS } from '../src/model/precision.ts'
import { measuredModule, measuredProcess } from './measured-process.ts'
import { peerPython } from './peer-environment.ts'
import { withRatios, type TrainLine } from './train-lines.ts'

const PEERS = [
  { name: 'f32', type: 'f32', checkpointing: '0' },
  { name: 'bf16', type: 'bf16', checkpointing: '0' },
  { name: 'f32-checkpointing', type: 'f32', checkpointing: '1' },
  { name: 'bf16-checkpointing', type: 'bf16', checkpointing: '1' },
]

const OPTIONS = {
  model: { type: 'string' },
  mode: { type: 'string', default: 'exact' },
  sequence: { type: 'string', default: '512' },
  batch: { type: 'string', default: '1' },
  steps: { type: 'string', default: '5' },
  threads: { type: 'string', default: '2' },
  layout: { type: 'string', default: 'by-layer' },
  /** cuda is for layout whole. */
  device: { type: 'string', default: 'cpu' },
  /** Kinds of gradient checkpointing, each with each mode; as the mode has it where none is named. */
  checkpointing: { type: 'string', default: '' },
  /** PyTorch with PEFT beside it: float32 and bfloat16, without and with gradient checkpointing. */
  peers: { type: 'boolean', default: false },
  /** Some of them only. */
  peer: { type: 'string', default: PEERS.map(({ name }) => name).join() },
  /** Where the rivals' Python environment is, or is made. */
  venv: { type: 'string', default: fileURLToPath(new URL('../.temper/bench-venv', import.meta.url)) },
  json: { type: 'boolean', default: false },
} as const

/**
 * One training step's speed and memory, on random tokens with the loss at every position, LoRA r16 on all linear layers,
 * AdamW included: what bench/peers measures of others. Each measurement has a process of its own, whose memory is read from
 * outside; with rivals, the modes and they take turns.
 */
export async function benchTrain(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: OPTIONS })
  const { model, sequence, batch, steps, threads, layout, device } = values
  if (model === undefined) throw new Error('name a model folder or .gguf file with --model')
  const modes = values.mode.split(',')
  const unknown = modes.find((mode) => !PRECISIONS.some((precision) => precision === mode))
  if (unknown !== undefined)
    throw new Error(`there is no mode ${unknown}; name some of ${PRECISIONS.join(',')}`)

  const strange = values.checkpointing
    .split(',')
    .find((kind) => kind !== '' && !CHECKPOINTINGS.some((known) => known === kind))
  if (strange !== undefined)
    throw new Error(`there is no checkpointing ${strange}; name some of ${CHECKPOINTINGS.join(',')}`)

  const child = fileURLToPath(new URL('train-measure.ts', import.meta.url))
  const ours = modes.flatMap((mode) =>
    values.checkpointing.split(',').map((kind) => ({
      measure: measuredModule,
      args: [child, model, sequence, batch, steps, threads, layout, mode, kind, device],
    })),
  )
  const theirs = values.peers
    ? await rivals(values.venv, values.peer.split(','), [model, batch, sequence, steps])
    : []
  const lines: TrainLine[] = []
  for (let turn = 0; turn < Math.max(ours.length, theirs.length); turn++)
    for (const contestant of [ours[turn], theirs[turn]]) {
      if (!contestant) continue
      const { lastLine, peakResidentMb } = await contestant.measure(contestant.args)
      const line: TrainLine = { ...(JSON.parse(lastLine) as TrainLine), bench: 'train', peakResidentMb }
      lines.push(line)
      // What was measured is not lost if the rest takes too long.
      console.error(
        `${line.peer ?? 'temper'} ${line.mode}: ${line.tokensPerSecond} tokens/s, ${peakResidentMb} MB`,
      )
    }
  const shown = withRatios(lines)
  if (values.json) for (const line of shown) console.log(JSON.stringify(line))
  else console.table(shown)
}

async function rivals(
  venv: string,
  wanted: readonly string[],
  [model, batch, sequence, steps]: [string, string, string, string],
) {
  const program = await peerPython(venv)
  const script = fileURLToPath(new URL('peers/pytorch_peft.py', import.meta.url))
  return PEERS.filter(({ name }) => wanted.includes(name)).map(({ type, checkpointing }) => ({
    measure: (given: readonly string[]) => measuredProcess(program, given),
    args: [script, model, type, batch, sequence, steps, checkpointing],
  }))
}
