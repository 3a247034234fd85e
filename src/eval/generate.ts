import type { Decoder } from '../model/decoder.ts'

export interface GenerateOptions {
  maxNewTokens: number
  /** Generation ends with the first of these, which is not part of the answer. */
  eosTokenIds: readonly number[]
}

/** The model's greedy continuation of a prompt: always the likeliest token, the first among equals. New tokens only. */
export async function generate(
  decoder: Decoder,
  promptIds: readonly number[],
  { maxNewTokens, eosTokenIds }: GenerateOptions,
): Promise<number[]> {
  decoder.reset()
  const answer: number[] = []
  let next = promptIds
  while (answer.length < maxNewTokens) {
    const token = likeliest(await decoder.append(next))
    if (eosTokenIds.includes(token)) break
    answer.push(token)
    next = [token]
  }
  return answer
}

function likeliest(logits: Float32Array): number {
  let best = 0
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i
  return best
}
