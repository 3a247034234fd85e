import type { Sample } from '../data/tokenize-side.ts'
import { StoppedError } from '../errors.ts'
import type { Decoder } from '../model/decoder.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { generate } from './generate.ts'

export interface SampleOptions {
  maxNewTokens: number
  /** Any of these ends an answer and is no part of it. */
  stopTokenIds: readonly number[]
  signal: AbortSignal
  /** After each answer. */
  report: () => void
}

/** Greedy answers to the samples' prompts, in their order, as text without special tokens. */
export async function sampleAnswers(
  decoder: Decoder,
  tokenizer: Tokenizer,
  samples: readonly Sample[],
  { maxNewTokens, stopTokenIds, signal, report }: SampleOptions,
): Promise<string[]> {
  const answers: string[] = []
  for (const { promptIds } of samples) {
    if (signal.aborted) throw new StoppedError('Evaluation was stopped')
    const ids = await generate(decoder, promptIds, { maxNewTokens, eosTokenIds: stopTokenIds })
    answers.push(tokenizer.decode(ids, { skipSpecialTokens: true }).trim())
    report()
  }
  return answers
}
