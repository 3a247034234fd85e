import { InputError } from '../errors.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { CanonicalRow, ChatMessage } from './canonical-row.ts'
import type { ChosenTemplate } from './choose-template.ts'
import { breathe, ROWS_PER_BREATH } from './data-progress.ts'
import type { JsonlWriter } from './jsonl-writer.ts'
import { encodeOnce, type MaskOptions, maskRow } from './loss-mask.ts'
import { readJsonl } from './read-jsonl.ts'
import type { Renderer } from './render-rows.ts'
import { RowCollector } from './row-collector.ts'

/** A question for the model to answer, with the answer that the row gives. */
export interface Sample {
  id: string
  /** What the user says, for people. */
  question: string
  /** What the model is given: the context up to where its answer begins, and the same as token ids. */
  prompt: string
  promptIds: number[]
  reference: string
}

/** One side, training or evaluation, tokenized. */
export interface TokenizedSide {
  rows: RowCollector
  ids: string[]
  samples: Sample[]
  supervisedTokens: number
  supervisedEndOfTurn: number
  longest: number
  truncated: number
  /** Rows left out, by reason. */
  dropped: Record<string, number>
}

export interface SideOptions {
  name: 'train' | 'eval'
  path: string
  template: ChosenTemplate
  renderer: Renderer
  mask: MaskOptions
  settings: Pick<FineTuneSpec['data'], 'truncation'>
  /** In tokens: the spec's, or the model's where that is less. */
  maxLength: number
  maxSamples: number
  dropped: JsonlWriter
  /** Called with the rows done so far. */
  report: (rows: number) => void
  signal: AbortSignal | undefined
  /** Of a larger whole: it may be empty. */
  isPart: boolean
}

/** Characters of rows that go to the rendering process at once. */
const BATCH_CHARACTERS = 1 << 20

/** Tokenizes one file of clean rows. InputError where no row of it is left, or none with anything to learn. */
export async function tokenizeSide(options: SideOptions): Promise<TokenizedSide> {
  const { name, path, report, signal } = options
  const side: TokenizedSide = {
    rows: new RowCollector(),
    ids: [],
    samples: [],
    supervisedTokens: 0,
    supervisedEndOfTurn: 0,
    longest: 0,
    truncated: 0,
    dropped: {},
  }
  let read = 0
  let shortest = Infinity
  let batch: CanonicalRow[] = []
  let characters = 0
  const flush = async () => {
    shortest = Math.min(shortest, await tokenizeBatch(batch, options, side))
    batch = []
    characters = 0
    report(read)
    await breathe(signal)
  }
  for await (const { value } of readJsonl({ name: `${name}.jsonl`, path })) {
    const row = value as CanonicalRow // of our own writing
    batch.push(row)
    read++
    characters += JSON.stringify(row).length
    if (batch.length >= ROWS_PER_BREATH || characters >= BATCH_CHARACTERS) await flush()
  }
  await flush()
  if (!options.isPart) checkSide(side, options, read, shortest)
  return side
}

/** Adds the rows to `side`; the length of the shortest one, in tokens, before anything was cut. */
async function tokenizeBatch(
  batch: readonly CanonicalRow[],
  options: SideOptions,
  side: TokenizedSide,
): Promise<number> {
  const { template, renderer, maxLength, settings } = options
  const asked = batch.map((row) => ({ at: row.at, messages: asMessages(row, template) }))
  const rendered = await renderer.render(template, asked)
  let shortest = Infinity
  const drop = async (row: CanonicalRow, reason: string, tokens: number) => {
    side.dropped[reason] = (side.dropped[reason] ?? 0) + 1
    await options.dropped.write({ at: row.at, id: row.id, side: options.name, reason, tokens })
  }
  for (const [index, row] of batch.entries()) {
    const text = rendered[index]
    if (!text) throw new Error(`the renderer gave no text for ${row.at}`)
    const { ids, mask, endsOfTurn } = maskRow(text, options.mask)
    const tokens = ids.length
    shortest = Math.min(shortest, tokens)
    if (tokens > maxLength) {
      if (settings.truncation === 'drop') {
        await drop(row, TOO_LONG, tokens)
        continue
      }
      // As TRL does: the beginning is kept.
      ids.length = mask.length = maxLength
    }
    const learnt = mask.reduce((sum, one) => sum + one, 0)
    if (learnt === 0) {
      await drop(row, tokens > maxLength ? NOTHING_LEFT : NOTHING_TO_LEARN, tokens)
      continue
    }
    if (tokens > maxLength) side.truncated++
    side.rows.add(ids, mask)
    side.ids.push(row.id)
    side.supervisedTokens += learnt
    side.supervisedEndOfTurn += endsOfTurn.filter((at) => at < ids.length).length
    side.longest = Math.max(side.longest, ids.length)
    if (side.samples.length < options.maxSamples)
      side.samples.push(sampleOf(row, text.prompt, asked[index]?.messages ?? [], options))
  }
  return shortest
}

const TOO_LONG = 'longer than maxLength'
const NOTHING_LEFT = 'no answer token within maxLength'
const NOTHING_TO_LEARN = 'the template shows no answer'

/** A text row as a question and its answer. A template of the user's own gets the texts with the blanks between them. */
function asMessages(row: CanonicalRow, { name }: ChosenTemplate): ChatMessage[] {
  if ('messages' in row) return row.messages
  const text = (value: string) => (name === 'inline' ? value : value.trim())
  return [
    { role: 'user', content: text(row.prompt) },
    { role: 'assistant', content: text(row.completion) },
  ]
}

function sampleOf(
  row: CanonicalRow,
  prompt: string,
  messages: readonly ChatMessage[],
  options: SideOptions,
): Sample {
  const last = messages.findLastIndex((m) => m.role === 'assistant' && m.weight !== 0)
  const question = messages.slice(0, last).findLast((m) => m.role === 'user')
  return {
    id: row.id,
    question: question?.content ?? '',
    prompt,
    promptIds: encodeOnce(options.mask.tokenizer, prompt).ids,
    reference: messages[last]?.content ?? '',
  }
}

function checkSide(side: TokenizedSide, options: SideOptions, read: number, shortest: number): void {
  const { name, maxLength, template, mask } = options
  const what = name === 'train' ? 'training' : 'evaluation'
  const tooLong = side.dropped[TOO_LONG] ?? 0
  if (tooLong === read)
    throw new InputError(
      `All ${read} ${what} rows are longer than ${maxLength} tokens (the shortest has ${shortest}); raise spec.data.maxLength or set spec.data.truncation to truncate`,
    )
  if (side.rows.count === 0) {
    const reasons = Object.entries(side.dropped).map(([reason, count]) => `${reason}: ${count}`)
    throw new InputError(
      `None of the ${read} ${what} rows has a token left to learn (${reasons.join(', ')}); raise spec.data.maxLength or choose another spec.data.template`,
    )
  }
  if (side.supervisedEndOfTurn === 0 && name === 'train')
    throw new InputError(
      `None of the ${side.rows.count} training rows teaches the end of an answer (${JSON.stringify(mask.endOfTurn.token)}): ${side.truncated} of them are cut off, and ${template.label} writes it in no other; raise spec.data.maxLength or choose another spec.data.template`,
    )
}
