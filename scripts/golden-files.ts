import { join } from 'node:path'
import { readJsonFile } from '../src/formats/json-file.ts'
import { readSafetensors } from '../src/formats/safetensors.ts'
import type { Adapter } from '../src/model/adapter.ts'
import type { Batch } from '../src/train/batch.ts'

/** expected.json of a golden directory. */
export interface Expected {
  loss: number
  packed_loss: number
  training: {
    lr: number
    betas: [number, number]
    eps: number
    weight_decay: number
    max_grad_norm: number
    /** "cosine, 2 warm-up steps of 10" */
    schedule: string
    losses: number[]
    gradient_norms: number[]
  }
  greedy: { prompt: number[]; tokens: number[] }
}

export function readExpected(dir: string): Expected {
  return readJsonFile(join(dir, 'expected.json')) as unknown as Expected
}

/** The tensors of a safetensors file in float32. */
export function readFloats(dir: string, file: string): Map<string, Float32Array> {
  const source = readSafetensors(join(dir, `${file}.safetensors`))
  const tensors = new Map(Array.from(source.infos.keys(), (name) => [name, source.float32(name)]))
  source.close()
  return tensors
}

/** The adapter from which the golden values start; ranks and targets are its tensors' own. */
export function readStartAdapter(dir: string): Adapter {
  const json = readJsonFile(join(dir, 'adapter_config.json'))
  const file = readSafetensors(join(dir, 'adapter_start.safetensors'))
  const tensors: Adapter['tensors'] = new Map()
  for (const [name, { shape }] of file.infos)
    tensors.set(name, { shape: (shape.length === 1 ? [1, ...shape] : shape) as [number, number], data: file.float32(name) }) // prettier-ignore
  file.close()
  const config = {
    r: Number(json.r),
    loraAlpha: Number(json.lora_alpha),
    loraDropout: Number(json.lora_dropout ?? 0),
    targetModules: json.target_modules as string[],
    useRslora: json.use_rslora === true,
    ...(json.use_dora === true && { useDora: true }),
  }
  return { config, tensors }
}

/** batch.safetensors: padded rows, and the logits of their tokens (0 at padding). */
export function readPadded(dir: string): { batch: Batch; logits: Float32Array } {
  const file = readSafetensors(join(dir, 'batch.safetensors'))
  const [rows, length] = file.infos.get('input_ids')?.shape as [number, number]
  const positions = Int32Array.from({ length: rows * length }, (_, i) => i % length)
  const batch = makeRows(rows, length, {
    inputIds: integers(file, 'input_ids'),
    segments: integers(file, 'attention_mask'),
    labels: integers(file, 'labels'),
    positions,
  })
  const logits = file.float32('logits')
  file.close()
  return { batch, logits }
}

/** packed.safetensors: the same samples in one row. */
export function readPacked(dir: string): Batch {
  const file = readSafetensors(join(dir, 'packed.safetensors'))
  const [rows, length] = file.infos.get('input_ids')?.shape as [number, number]
  const segments = integers(file, 'sequence_lengths').reduce<number[]>(
    (all, count, i) => all.concat(Array.from({ length: count }, () => i + 1)),
    [],
  )
  const batch = makeRows(rows, length, {
    inputIds: integers(file, 'input_ids'),
    segments: Int32Array.from(segments),
    labels: integers(file, 'labels'),
    positions: integers(file, 'position_ids'),
  })
  file.close()
  return batch
}

/** training_batches.safetensors: one batch a step, every token a target. */
export function readTrainingBatches(dir: string): Batch[] {
  const file = readSafetensors(join(dir, 'training_batches.safetensors'))
  const [steps, rows, length] = file.infos.get('input_ids')?.shape as [number, number, number]
  const all = integers(file, 'input_ids')
  file.close()
  return Array.from({ length: steps }, (_, step) => {
    const inputIds = all.slice(step * rows * length, (step + 1) * rows * length)
    const positions = inputIds.map((_, i) => i % length)
    return makeRows(rows, length, { inputIds, segments: inputIds.map(() => 1), labels: inputIds, positions })
  })
}

function makeRows(
  rows: number,
  length: number,
  arrays: Pick<Batch, 'inputIds' | 'segments' | 'labels' | 'positions'>,
): Batch {
  return { rows, length, ...arrays, rowIds: Array.from({ length: rows }, (_, row) => `row ${row}`) }
}

function integers(file: ReturnType<typeof readSafetensors>, name: string): Int32Array {
  return Int32Array.from(file.tensor(name) as BigInt64Array, Number)
}
