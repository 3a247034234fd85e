import { CorruptError } from '../errors.ts'
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts'

/** Rows ready to train on: token ids, and for each token whether the loss counts it. */
export interface TokenizedRows {
  readonly count: number
  ids(row: number): Int32Array
  /** 1 where the token is one to learn. As long as the row's ids. */
  lossMask(row: number): Uint8Array
}

/**
 * Writes rows as safetensors, one behind the other: input_ids I32 [N], loss_mask U8 [N], and offsets I64 [rows + 1], where row
 * i is [offsets[i], offsets[i + 1]).
 */
export async function writeTokenizedRows(path: string, rows: TokenizedRows): Promise<void> {
  const offsets = new BigInt64Array(rows.count + 1)
  for (let row = 0; row < rows.count; row++)
    offsets[row + 1] = (offsets[row] ?? 0n) + BigInt(rows.ids(row).length)
  const total = Number(offsets[rows.count] ?? 0n)
  const joined = <T extends Int32Array | Uint8Array>(out: T, part: (row: number) => T): T => {
    for (let row = 0; row < rows.count; row++) out.set(part(row), Number(offsets[row] ?? 0n))
    return out
  }
  await writeSafetensors(path, [
    {
      name: 'input_ids',
      type: 'I32',
      shape: [total],
      data: () => joined(new Int32Array(total), (row) => rows.ids(row)),
    },
    {
      name: 'loss_mask',
      type: 'U8',
      shape: [total],
      data: () => joined(new Uint8Array(total), (row) => rows.lossMask(row)),
    },
    { name: 'offsets', type: 'I64', shape: [offsets.length], data: offsets },
  ])
}

/** Reads them back into memory, 5 bytes a token. CorruptError where the tensors do not fit together. */
export function readTokenizedRows(path: string): TokenizedRows {
  const file = readSafetensors(path)
  try {
    const ids = file.tensor('input_ids')
    const mask = file.tensor('loss_mask')
    const offsets = file.tensor('offsets')
    if (!(ids instanceof Int32Array && mask instanceof Uint8Array && offsets instanceof BigInt64Array))
      throw new CorruptError(`${path}: the rows' tensors are not of the types I32, U8 and I64`)
    const bounds = Array.from(offsets, Number)
    const isWhole =
      bounds[0] === 0 &&
      bounds.at(-1) === ids.length &&
      mask.length === ids.length &&
      bounds.every((bound, row) => row === 0 || bound >= (bounds[row - 1] ?? 0))
    if (!isWhole) throw new CorruptError(`${path}: the rows' offsets do not fit their ${ids.length} tokens`)
    const range = (row: number): [number, number] => {
      const [start, end] = [bounds[row], bounds[row + 1]]
      if (start === undefined || end === undefined) throw new RangeError(`${path} has no row ${row}`)
      return [start, end]
    }
    return {
      count: bounds.length - 1,
      ids: (row) => ids.subarray(...range(row)),
      lossMask: (row) => mask.subarray(...range(row)),
    }
  } finally {
    file.close()
  }
}
