import type { TokenizedRows } from './tokenized-rows.ts'

/** Rows gathered one by one in two growing buffers: a million small arrays would take several times the memory. */
export class RowCollector implements TokenizedRows {
  #ids = new Int32Array(1 << 16)
  #mask = new Uint8Array(1 << 16)
  readonly #ends: number[] = []

  add(ids: readonly number[], mask: readonly number[]): void {
    const start = this.tokens
    const end = start + ids.length
    if (end > this.#ids.length) {
      const size = Math.max(end, this.#ids.length * 2)
      this.#ids = grown(this.#ids, new Int32Array(size))
      this.#mask = grown(this.#mask, new Uint8Array(size))
    }
    this.#ids.set(ids, start)
    this.#mask.set(mask, start)
    this.#ends.push(end)
  }

  get count(): number {
    return this.#ends.length
  }

  get tokens(): number {
    return this.#ends.at(-1) ?? 0
  }

  ids(row: number): Int32Array {
    return this.#ids.subarray(...this.#range(row))
  }

  lossMask(row: number): Uint8Array {
    return this.#mask.subarray(...this.#range(row))
  }

  #range(row: number): [number, number] {
    return [this.#ends[row - 1] ?? 0, this.#ends[row] ?? 0]
  }
}

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}
