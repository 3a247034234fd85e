/**
 * The rotary embedding pairs dimension i of a head with i + headDim/2 in Hugging Face's Llama, with its neighbour in GGUF's:
 * a GGUF of architecture `llama` has the rows of q and k (weights and biases) in that other order
 * (llama.cpp: convert_hf_to_gguf.py, LlamaModel.permute). Rows are moved as bytes, so quantised blocks are moved as they are.
 */
export function toNeighbourPairs(rows: Uint8Array, heads: number, headDim: number): Uint8Array<ArrayBuffer> {
  return move(rows, heads, headDim, (pair, half) => [2 * pair + half, half * (headDim / 2) + pair])
}

/** The way back: rows of a GGUF in Hugging Face's order. */
export function fromNeighbourPairs(
  rows: Uint8Array,
  heads: number,
  headDim: number,
): Uint8Array<ArrayBuffer> {
  return move(rows, heads, headDim, (pair, half) => [half * (headDim / 2) + pair, 2 * pair + half])
}

/** `places` gives, for a pair and which of its two, the row to write and the row to read within a head. */
function move(
  rows: Uint8Array,
  heads: number,
  headDim: number,
  places: (pair: number, half: number) => [to: number, from: number],
): Uint8Array<ArrayBuffer> {
  const rowBytes = rows.length / (heads * headDim)
  if (!Number.isInteger(rowBytes) || headDim % 2 !== 0)
    throw new Error(`${rows.length} bytes are not ${heads} heads of ${headDim} rows`)
  const out = new Uint8Array(rows.length)
  for (let head = 0; head < heads; head++)
    for (let pair = 0; pair < headDim / 2; pair++)
      for (const half of [0, 1]) {
        const [to, from] = places(pair, half)
        const source = (head * headDim + from) * rowBytes
        out.set(rows.subarray(source, source + rowBytes), (head * headDim + to) * rowBytes)
      }
  return out
}
