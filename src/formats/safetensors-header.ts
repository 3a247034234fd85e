import { InputError } from '../errors.ts'

/** Bytes per element of the types that this project reads and writes; keys are the format's own names. */
export const ELEMENT_BYTES = { F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I8: 1, U8: 1 } as const
export type SafetensorsType = keyof typeof ELEMENT_BYTES

/** One tensor of a file. `begin` and `end` count bytes from the first byte after the header. */
export interface SafetensorsInfo {
  name: string
  type: SafetensorsType
  shape: number[]
  begin: number
  end: number
}

/** The largest header that the reference implementation accepts (safetensors/src/tensor.rs, MAX_HEADER_SIZE). */
export const MAX_HEADER_BYTES = 100_000_000

/** The largest published models have under 100,000 tensors over all shards; beyond this a header only costs memory (CWE-770). */
const MAX_TENSORS = 200_000

/** No model has tensors of more dimensions; a long shape would only slow the checks down. */
const MAX_DIMENSIONS = 16

export interface SafetensorsHeader {
  metadata: Record<string, string>
  infos: Map<string, SafetensorsInfo>
}

/**
 * Checks a header as strictly as the reference does: known types, sizes that match the shape, and offsets that cover the data
 * (`dataBytes` long) from first to last byte without hole or overlap. InputError names file and tensor.
 */
export function parseSafetensorsHeader(path: string, text: string, dataBytes: number): SafetensorsHeader {
  const refuse = (what: string): never => {
    throw new InputError(`${path}: ${what}; get the file again, it is damaged or not safetensors`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    refuse('the header is not JSON')
  }
  if (!isObject(json)) return refuse('the header is not a JSON object')
  const entries = Object.entries(json)
  if (entries.length > MAX_TENSORS)
    refuse(`the header lists ${entries.length} tensors, more than ${MAX_TENSORS}`)

  let metadata: Record<string, string> = {}
  const infos = new Map<string, SafetensorsInfo>()
  for (const [name, entry] of entries) {
    if (name === '__metadata__') metadata = checkMetadata(entry, refuse)
    else infos.set(name, checkTensor(name, entry, refuse))
  }
  checkCoverage(infos, dataBytes, refuse)
  return { metadata, infos }
}

type Refuse = (what: string) => never

function checkMetadata(entry: unknown, refuse: Refuse): Record<string, string> {
  if (!isObject(entry)) return refuse('__metadata__ in the header is not an object')
  const out: [string, string][] = []
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string')
      return refuse('__metadata__ in the header holds a value that is not a string')
    out.push([key, value])
  }
  return Object.fromEntries(out)
}

function checkTensor(name: string, entry: unknown, refuse: Refuse): SafetensorsInfo {
  const at = `tensor ${JSON.stringify(name.slice(0, 200))}`
  if (!isObject(entry)) return refuse(`${at} is not described by an object`)
  const { dtype, shape, data_offsets: offsets } = entry
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
    const known = Object.keys(ELEMENT_BYTES).join(', ')
    const found = typeof dtype === 'string' ? JSON.stringify(dtype.slice(0, 40)) : 'none'
    return refuse(`${at} has type ${found}, supported are ${known}`)
  }
  const type = dtype as SafetensorsType
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isCount))
    return refuse(`${at} has no valid shape`)
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    return refuse(`${at} has no valid data_offsets`)
  const [begin, end] = offsets as [number, number]
  // A product past 2^53 is inexact but still larger than any file, so the comparison below refuses it.
  const bytes = shape.reduce<number>((product, n) => product * n, ELEMENT_BYTES[type])
  if (end - begin !== bytes)
    return refuse(
      `${at} is ${type} of shape [${shape.join(', ')}], ${bytes} bytes, but its offsets span ${end - begin}`,
    )
  return { name, type, shape, begin, end }
}

function checkCoverage(infos: Map<string, SafetensorsInfo>, dataBytes: number, refuse: Refuse): void {
  let covered = 0
  for (const info of [...infos.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    const at = `tensor ${JSON.stringify(info.name.slice(0, 200))}`
    if (info.end > dataBytes)
      refuse(`${at} ends at byte ${info.end} of ${dataBytes} bytes of data, beyond the end of the file`)
    if (info.begin < covered) refuse(`${at} begins at byte ${info.begin}, inside the tensor before it`)
    if (info.begin > covered) refuse(`${at} begins at byte ${info.begin}, after a hole from byte ${covered}`)
    covered = info.end
  }
  if (covered !== dataBytes) refuse(`${dataBytes - covered} bytes after the last tensor belong to none`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
