/** Values that share a scale, as in bitsandbytes' block-wise optimizers. */
export const BLOCK = 256

/**
 * A running mean in 8 bits: block-wise dynamic quantisation (arXiv:2110.02861, as bitsandbytes' adamw_8bit keeps its state). Each
 * block of 256 values is divided by its largest magnitude; each quotient is the number of the nearest of 256 fixed values.
 */
export interface BlockwiseMoment {
  codes: Uint8Array
  /** The largest magnitude of each block. */
  absmax: Float32Array
}

/** AdamW's running mean of the gradient (signed) or of its square, in float32 or in 8 bits. */
export type Moment = Float32Array | BlockwiseMoment

/** The kinds of values: with a sign for the mean of gradients, without for that of squares. */
export type DynamicMap = 'signed' | 'unsigned'

/** Fewer values stay in float32: bitsandbytes' min_8bit_size. */
const LEAST_SIZE = 4096
const EXPONENTS = 7

/** Zeros of so many values. */
export function zeroMoment(size: number, bits: 8 | 32, map: DynamicMap): Moment {
  if (bits === 32 || size < LEAST_SIZE) return new Float32Array(size)
  const codes = new Uint8Array(size).fill(tableOf(map).values.indexOf(0))
  return { codes, absmax: new Float32Array(Math.ceil(size / BLOCK)) }
}

/** How much memory zeroMoment() takes. */
export function momentBytes(size: number, bits: 8 | 32): number {
  return bits === 32 || size < LEAST_SIZE ? 4 * size : size + 4 * Math.ceil(size / BLOCK)
}

export function copyMoment(moment: Moment): Moment {
  if (moment instanceof Float32Array) return moment.slice()
  return { codes: moment.codes.slice(), absmax: moment.absmax.slice() }
}

/** The arrays behind moments, for handing them over. */
export function momentArrays(moments: Iterable<Moment>): (Float32Array | Uint8Array)[] {
  return Array.from(moments, (moment) =>
    moment instanceof Float32Array ? [moment] : [moment.codes, moment.absmax],
  ).flat()
}

/** Begin and end of each block. */
export function* blocksOf(size: number): Generator<[number, number]> {
  for (let begin = 0; begin < size; begin += BLOCK) yield [begin, Math.min(begin + BLOCK, size)]
}

/** The values from `begin` to `end`, which is one block, into `out`. */
export function readBlock(
  { codes, absmax }: BlockwiseMoment,
  map: DynamicMap,
  begin: number,
  end: number,
  out: Float32Array,
): void {
  const { values } = tableOf(map)
  const scale = absmax[begin / BLOCK] as number
  for (let i = begin; i < end; i++) out[i - begin] = (values[codes[i] as number] as number) * scale
}

/** The values of one block, quantised in place of what stood there. */
export function writeBlock(
  { codes, absmax }: BlockwiseMoment,
  map: DynamicMap,
  begin: number,
  end: number,
  values: Float32Array,
): void {
  const { middles, first } = tableOf(map)
  let largest = 0
  for (let i = 0; i < end - begin; i++) {
    const size = Math.abs(values[i] as number)
    // NaN stays, to be found: nothing is larger.
    if (size > largest || Number.isNaN(size)) largest = size
  }
  absmax[begin / BLOCK] = largest
  for (let i = begin; i < end; i++) {
    quotient[0] = largest > 0 ? (values[i - begin] as number) / largest : 0
    const x = quotient[0]
    let code = first[(quotientBits[0] as number) >>> 16] as number
    while (code < 255 && x > (middles[code] as number)) code++
    codes[i] = code
  }
}

const quotient = new Float32Array(1)
const quotientBits = new Uint32Array(quotient.buffer)

interface DynamicTable {
  /** 256, ascending. */
  values: Float32Array
  /** Between each value and the next. */
  middles: Float32Array
  /** By the upper 16 bits of a float32: the code of the least number that begins with them, to search on from. */
  first: Uint8Array
}

const tables = new Map<DynamicMap, DynamicTable>()

function tableOf(map: DynamicMap): DynamicTable {
  const known = tables.get(map)
  if (known) return known
  const values = dynamicMap(map)
  const middles = Float32Array.from(
    { length: 255 },
    (_, i) => ((values[i] as number) + (values[i + 1] as number)) / 2,
  )
  const bits = new Uint32Array(1)
  const number = new Float32Array(bits.buffer)
  const first = Uint8Array.from({ length: 0x10000 }, (_, upper) => {
    const isNegative = upper >= 0x8000
    // Of negative numbers, those with the largest rest are the least.
    bits[0] = ((upper << 16) | (isNegative ? 0xffff : 0)) >>> 0
    const least = number[0] as number
    let code = 0
    while (code < 255 && least > (middles[code] as number)) code++
    return code
  })
  const table = { values, middles, first }
  tables.set(map, table)
  return table
}

/**
 * bitsandbytes' create_dynamic_map(signed, 7, 8), ascending: for each power of ten from -6 to 0 the middles of equal parts of (0.1, 1),
 * twice as many for each next power; besides 0 and 1.
 */
export function dynamicMap(map: DynamicMap): Float32Array {
  const values = [0, 1]
  for (let i = 0; i < EXPONENTS; i++) {
    const parts = 2 ** (i + (map === 'signed' ? 0 : 1))
    const power = 10 ** (i + 1 - EXPONENTS)
    for (let part = 0; part < parts; part++) {
      const middle = Math.fround(power * Math.fround(0.1 + (0.9 * (part + 0.5)) / parts))
      values.push(middle)
      if (map === 'signed') values.push(-middle)
    }
  }
  return Float32Array.from(values).sort()
}
