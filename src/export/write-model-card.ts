import { writeOutputFile } from '../formats/output-file.ts'

export interface CardMetrics {
  loss: number
  perplexity: number
  tokenAccuracy: number
}

/** What was measured and done, for the reader of a published model. Nothing in a card is guessed. */
export interface ModelCard {
  name: string
  version: number
  base: { source: string; revision?: string; digest: string }
  /** The version whose adapter was trained further. */
  continuedFrom?: number
  /** What the person said who let it be published. */
  approval?: string
  data: {
    train: readonly string[]
    trainRows: number
    evalRows: number
    /** Rows left out, by reason. */
    removed: Readonly<Record<string, number>>
    /** Which template made text of them, in words. */
    template: string
  }
  method: 'lora' | 'full'
  training: {
    settings: Readonly<Record<string, unknown>>
    steps: number
    epochs: number
    trainedTokens: number
    supervisedTokens: number
    seconds: number
  }
  /** By the model's name: base, tuned, merged, gguf-q8_0, … in the order to show. */
  evaluation: Readonly<Record<string, CardMetrics | { loss: number }>>
  samples: readonly { question: string; reference: string; answers: Readonly<Record<string, string>> }[]
  files: readonly { name: string; what: string }[]
}

/** Writes the model card, README.md with Hugging Face's front matter. InputError where the disk is full. */
export async function writeModelCard(path: string, card: ModelCard): Promise<void> {
  await writeOutputFile(path, [Buffer.from(modelCardText(card))])
}

function modelCardText(card: ModelCard): string {
  const { base, data, training } = card
  const removed = Object.entries(data.removed).filter(([, count]) => count > 0)
  return [
    frontMatter(card),
    `# ${inline(card.name)}, version ${card.version}`,
    `${code(base.source)} fine-tuned ${card.method === 'full' ? 'in all its weights' : 'with LoRA'} by Temper. All numbers below were measured on this model.`,
    ...(card.approval === undefined ? [] : [`Publication ${inline(card.approval)}.`]),
    '## Evaluation',
    `On ${data.evalRows} rows that were held out of training. Loss is the mean cross-entropy of a target token, in nats.`,
    table(
      ['model', 'loss', 'perplexity', 'token accuracy'],
      Object.entries(card.evaluation).map(([model, metrics]) => [
        inline(model),
        metrics.loss.toFixed(4),
        Math.exp(metrics.loss).toFixed(3),
        'tokenAccuracy' in metrics ? `${(metrics.tokenAccuracy * 100).toFixed(1)} %` : '',
      ]),
    ),
    ...(card.samples.length > 0 ? ['## Sample answers', ...card.samples.map(sample)] : []),
    '## Base model',
    table(
      ['', ''],
      [
        ['source', code(base.source)],
        ...(base.revision === undefined ? [] : [['revision', code(base.revision)]]),
        ['SHA-256 of its files', code(base.digest)],
        ...(card.continuedFrom === undefined
          ? []
          : [['trained further from', `version ${card.continuedFrom}`]]),
      ],
    ),
    '## Data',
    `${data.trainRows} training rows and ${data.evalRows} evaluation rows from ${data.train.map(code).join(', ')}, as text through ${inline(data.template)}.`,
    ...(removed.length > 0 ? [table(['left out because', 'rows'], removed.map(([reason, count]) => [inline(reason), String(count)]))] : []), // prettier-ignore
    '## Training',
    ...(training.steps === 0 ? ['**A rehearsal: no step was trained (maxSteps 0).**'] : []),
    `${training.steps} steps over ${training.epochs} epochs, ${training.trainedTokens} tokens seen, ${training.supervisedTokens} of them trained on, ${Math.round(training.seconds)} seconds.`,
    table(
      ['setting', 'value'],
      Object.entries(training.settings).map(([key, value]) => [
        code(key),
        code(typeof value === 'string' ? value : JSON.stringify(value)),
      ]),
    ),
    '## Files',
    table(
      ['file', 'what it is'],
      card.files.map(({ name, what }) => [code(name), inline(what)]),
    ),
    '',
  ].join('\n\n')
}

/** The hub's metadata; a JSON string is a YAML string. */
function frontMatter({ base, method }: ModelCard): string {
  const [, name] = /^hf:\/\/([\w.-]+\/[\w.-]+)/.exec(base.source) ?? []
  return [
    '---',
    ...(name === undefined ? [] : [`base_model: ${JSON.stringify(name)}`]),
    'library_name: transformers',
    'pipeline_tag: text-generation',
    `tags: [${method === 'lora' ? 'lora, ' : ''}temper]`,
    '---',
  ].join('\n')
}

function sample({ question, reference, answers }: ModelCard['samples'][number]): string {
  const parts = [['Question', question], ...Object.entries(answers), ['Reference', reference]] as [
    string,
    string,
  ][]
  return parts.map(([title, text]) => `**${inline(title)}**\n\n${fenced(text)}`).join('\n\n')
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** Text of the user's own in a line of Markdown: no markup, no line breaks, no table borders. */
function inline(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\`*_{}[\]<>|#]/g, (sign) => `\\${sign}`)
}

function code(text: string): string {
  const ticks = '`'.repeat(longestRun(text) + 1)
  return `${ticks} ${text.replace(/\s+/g, ' ').replaceAll('|', '\\|')} ${ticks}`
}

/** A fence longer than any in the text: an answer may hold Markdown itself. */
function fenced(text: string): string {
  const fence = '`'.repeat(Math.max(3, longestRun(text) + 1))
  return `${fence}text\n${text}\n${fence}`
}

function longestRun(text: string): number {
  return Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length))
}
