import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { InputError } from '../errors.ts'
import { writeOutputFile } from '../formats/output-file.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { RenderedRow } from './assistant-spans.ts'
import type { ChatMessage } from './canonical-row.ts'
import { type ChosenTemplate, chooseTemplate } from './choose-template.ts'
import type { DataProgress } from './data-progress.ts'
import { endOfTurnOf, specialTokenIds } from './end-of-turn.ts'
import { openJsonlWriter } from './jsonl-writer.ts'
import { openRenderer, type Renderer } from './render-rows.ts'
import { writeTokenizedRows } from './tokenized-rows.ts'
import { type TokenizedSide, tokenizeSide } from './tokenize-side.ts'

export interface TokenizeRowsOptions {
  /** A folder that cleanRows has filled. */
  cleanDir: string
  tokenizer: Tokenizer
  settings: Pick<FineTuneSpec['data'], 'template' | 'maxLength' | 'truncation' | 'completionOnlyLoss'>
  modelMaxPositions: number
  /**
   * An existing folder; receives train.safetensors, eval.safetensors, rows.json, samples.json, dropped.jsonl and
   * chat-template.jinja (the template as it was used, for the model's exports).
   */
  outDir: string
  progress?: DataProgress
  signal?: AbortSignal
  /** These are some rows of a larger whole: either side may be empty. */
  isPart?: boolean
}

export interface TokenizeSummary {
  trainRows: number
  evalRows: number
  trainTokens: number
  /** Training tokens that the loss counts. */
  supervisedTokens: number
  /** Training rows' end-of-turn tokens among them: never 0. */
  supervisedEndOfTurn: number
  /** Tokens of the longest row of both sides. */
  longest: number
  /** The length in force: the spec's, or the model's where that is less. */
  maxLength: number
  /** Rows of both sides that were left out, and why. */
  dropped: number
  droppedFor: Record<string, number>
  truncated: number
  templateName: ChosenTemplate['name']
  /** Which template that is, in words for the user. */
  template: string
  /** The token that ends an answer: a generation with the tuned model stops at it. */
  endOfTurn: string
  endOfTurnId: number
}

/** As many as spec.eval.samples may ask for. */
const MAX_SAMPLES = 1000

/**
 * Clean rows → token ids and loss masks, through the chosen template. InputError: a template that is broken or refuses a row; all
 * rows longer than maxLength; no token left to learn; no end of turn among them.
 */
export async function tokenizeRows(options: TokenizeRowsOptions): Promise<TokenizeSummary> {
  const {
    cleanDir,
    tokenizer,
    settings,
    modelMaxPositions,
    outDir,
    progress,
    signal,
    isPart = false,
  } = options
  const renderer = openRenderer({
    bosToken: tokenizer.bos?.token ?? '',
    eosToken: tokenizer.eos.token,
    padToken: tokenizer.pad?.token ?? '',
  })
  const dropped = openJsonlWriter(join(outDir, 'dropped.jsonl'))
  try {
    const template = await withBos(chooseTemplate(settings.template, tokenizer), tokenizer, renderer)
    const example = await renderExample(template, renderer)
    const endOfTurn = endOfTurnOf(example, tokenizer)
    const special = specialTokenIds(tokenizer)
    const maxLength = Math.min(settings.maxLength, modelMaxPositions)
    const shared = {
      template,
      renderer,
      mask: { tokenizer, endOfTurn, special, completionOnlyLoss: settings.completionOnlyLoss },
      settings,
      maxLength,
      dropped,
      signal,
      isPart,
    }
    const paths = { train: join(cleanDir, 'train.jsonl'), eval: join(cleanDir, 'eval.jsonl') }
    const trainRows = await countLines(paths.train)
    const of = trainRows + (await countLines(paths.eval))
    const report = (before: number) => (rows: number) =>
      progress?.({ step: 'tokenize', rows: before + rows, of })
    const train = await tokenizeSide({
      ...shared,
      name: 'train',
      path: paths.train,
      maxSamples: 0,
      report: report(0),
    })
    const held = await tokenizeSide({
      ...shared,
      name: 'eval',
      path: paths.eval,
      maxSamples: MAX_SAMPLES,
      report: report(trainRows),
    })
    await writeSides(outDir, train, held, template)
    await dropped.close()
    const droppedFor = added(train.dropped, held.dropped)
    return {
      trainRows: train.rows.count,
      evalRows: held.rows.count,
      trainTokens: train.rows.tokens,
      supervisedTokens: train.supervisedTokens,
      supervisedEndOfTurn: train.supervisedEndOfTurn,
      longest: Math.max(train.longest, held.longest),
      maxLength,
      dropped: Object.values(droppedFor).reduce((total, count) => total + count, 0),
      droppedFor,
      truncated: train.truncated + held.truncated,
      templateName: template.name,
      template: template.label,
      endOfTurn: endOfTurn.token,
      endOfTurnId: endOfTurn.id,
    }
  } catch (error) {
    await dropped.abandon()
    throw error
  } finally {
    renderer.close()
  }
}

const EXAMPLE: { at: string; messages: ChatMessage[] } = {
  at: 'An example row',
  messages: [
    { role: 'user', content: 'question' },
    { role: 'assistant', content: 'answer' },
  ],
}

/** What the template makes of a plain question and answer. InputError where the answer is not in it. */
async function renderExample(template: ChosenTemplate, renderer: Renderer): Promise<RenderedRow> {
  const [example] = await renderer.render(template, [EXAMPLE])
  const [span] = example?.spans ?? []
  if (!example || !span || span.start >= span.answerEnd)
    throw new InputError(
      `spec.data.template: ${template.label} does not print what the assistant answers; print message.content of each message`,
    )
  return example
}

/**
 * The model's own template decides on BOS by itself, as in transformers. Any other gets it in front where the tokenizer would
 * put it and the template does not.
 */
async function withBos(
  template: ChosenTemplate,
  { bos, addsBos }: Tokenizer,
  renderer: Renderer,
): Promise<ChosenTemplate> {
  if (template.name === 'model' || !bos || !addsBos) return template
  const example = await renderExample(template, renderer)
  if (example.text.startsWith(bos.token)) return template
  return { ...template, source: `{{ bos_token }}${template.source}` }
}

async function countLines(path: string): Promise<number> {
  let lines = 0
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>)
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines++
  return lines
}

async function writeSides(
  outDir: string,
  train: TokenizedSide,
  held: TokenizedSide,
  template: ChosenTemplate,
): Promise<void> {
  const write = (name: string, text: string) => writeOutputFile(join(outDir, name), [Buffer.from(text)])
  await writeTokenizedRows(join(outDir, 'train.safetensors'), train.rows)
  await writeTokenizedRows(join(outDir, 'eval.safetensors'), held.rows)
  await write('rows.json', JSON.stringify({ train: train.ids, eval: held.ids }))
  await write('samples.json', JSON.stringify(held.samples))
  await write('chat-template.jinja', template.source)
}

function added(one: Record<string, number>, other: Record<string, number>): Record<string, number> {
  const sum = { ...one }
  for (const [reason, count] of Object.entries(other)) sum[reason] = (sum[reason] ?? 0) + count
  return sum
}
