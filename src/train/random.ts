/**
 * Random numbers from counters: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), the
 * generator of PyTorch's and JAX's GPU code. The same counters give the same numbers in any order, so there is no state
 * to save and a resumed run draws exactly what an undisturbed one draws.
 */
const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85
const ROUNDS = 10

/** The high 32 bits of a·b, both taken as unsigned. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const low = Math.imul(aLow, bLow) >>> 0
  const middle = aHigh * bLow + (low >>> 16) // below 2^32
  const middle2 = aLow * bHigh + (middle & 0xffff) // below 2^32
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(middle2 / 0x10000)) | 0
}

/** One block: four 32-bit words into `out` for a 128-bit counter and a 64-bit key. */
export function philox(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  key0: number,
  key1: number,
): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0 >>> 0)
    const low0 = Math.imul(MULTIPLIER_0, c0)
    const high1 = multiplyHigh(MULTIPLIER_1, c2 >>> 0)
    const low1 = Math.imul(MULTIPLIER_1, c2)
    c0 = high1 ^ c1 ^ key0
    c1 = low1
    c2 = high0 ^ c3 ^ key1
    c3 = low0
    key0 = (key0 + WEYL_0) | 0
    key1 = (key1 + WEYL_1) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** What the numbers are for. Numbers of one purpose never depend on how many another has drawn. */
export type Purpose = 'lora-init' | 'lora-dropout' | 'data-order' | 'bootstrap' | 'embedding-noise'
const PURPOSES: Record<Purpose, number> = {
  'lora-init': 1,
  'lora-dropout': 2,
  'data-order': 3,
  bootstrap: 4,
  'embedding-noise': 5,
}

/** An endless, repeatable row of random numbers, named by (seed, purpose, counters). At most two counters, each 0..2^32-1. */
export class RandomStream {
  readonly #key0: number
  readonly #key1: number
  readonly #counter1: number
  readonly #counter2: number
  readonly #block = new Uint32Array(4)
  #next = 0
  #used = 4

  constructor(seed: number, purpose: Purpose, counter1 = 0, counter2 = 0) {
    this.#key0 = seed | 0
    this.#key1 = PURPOSES[purpose] ^ Math.imul(Math.floor(seed / 0x100000000), 0x10000)
    this.#counter1 = counter1 | 0
    this.#counter2 = counter2 | 0
  }

  /** 0..2^32-1, all alike. */
  uint32(): number {
    if (this.#used === 4) {
      philox(
        this.#block,
        this.#next++,
        Math.floor(this.#next / 0x100000000),
        this.#counter1,
        this.#counter2,
        this.#key0,
        this.#key1,
      )
      this.#used = 0
    }
    return this.#block[this.#used++] as number
  }

  /** [0, 1) in steps of 2^-32. */
  uniform(): number {
    return this.uint32() / 0x100000000
  }

  /** 0..limit-1, all alike (values past the largest multiple of limit are drawn again). */
  below(limit: number): number {
    const whole = 0x100000000 - (0x100000000 % limit)
    for (;;) {
      const value = this.uint32()
      if (value < whole) return value % limit
    }
  }
}

/** 0..count-1 in the random order of (seed, epoch): Fisher and Yates. */
export function permutation(count: number, seed: number, epoch: number): Uint32Array {
  const random = new RandomStream(seed, 'data-order', epoch)
  const order = Uint32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const swapped = order[i] as number
    order[i] = order[j] as number
    order[j] = swapped
  }
  return order
}
