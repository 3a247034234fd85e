/** A protobuf message being written: fields in the order of the calls (protobuf.dev/programming-guides/encoding). */
export class ProtobufWriter {
  readonly #chunks: Uint8Array[] = []
  #size = 0

  int(field: number, value: number | bigint): void {
    this.#tag(field, 0)
    this.#varint(BigInt(value))
  }

  float(field: number, value: number): void {
    this.#tag(field, 5)
    this.#push(new Uint8Array(Float32Array.of(value).buffer))
  }

  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, 2)
    this.#varint(BigInt(value.length))
    this.#push(value)
  }

  string(field: number, value: string): void {
    this.bytes(field, new TextEncoder().encode(value))
  }

  message(field: number, write: (message: ProtobufWriter) => void): void {
    const message = new ProtobufWriter()
    write(message)
    this.#tag(field, 2)
    this.#varint(BigInt(message.#size))
    for (const chunk of message.#chunks) this.#push(chunk)
  }

  finish(): Uint8Array {
    const all = new Uint8Array(this.#size)
    let at = 0
    for (const chunk of this.#chunks) {
      all.set(chunk, at)
      at += chunk.length
    }
    return all
  }

  #tag(field: number, wireType: number): void {
    this.#varint(BigInt((field << 3) | wireType))
  }

  /** Seven bits a byte, lowest first; a negative number as its 64-bit two's complement. */
  #varint(value: bigint): void {
    const bytes: number[] = []
    let rest = BigInt.asUintN(64, value)
    while (rest > 127n) {
      bytes.push(Number(rest & 127n) | 128)
      rest >>= 7n
    }
    bytes.push(Number(rest))
    this.#push(Uint8Array.from(bytes))
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
  }
}
