import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja'
import type { ChatMessage } from './canonical-row.ts'

/** A chat template, parsed: messages in, text out. Errors are those of the template; see render-rows.ts for its bounds. */
export interface ChatTemplate {
  render(messages: readonly ChatMessage[], options: { generationPrompt: boolean; marks?: Marks }): string
  /** True where the template says itself, with {% generation %}, what the assistant wrote. */
  readonly marksGeneration: boolean
}

/** Texts to print around what stands in {% generation %}. */
export interface Marks {
  start: string
  end: string
}

/** The special tokens as templates know them; '' where the model has none. */
export interface TemplateTokens {
  bosToken: string
  eosToken: string
  padToken: string
}

/**
 * Templates that print the date (Llama 3.2, Mistral) get this one, Llama's own default: the same rows give the same tokens on
 * any day, and a model that learns answers does not learn a date with them.
 */
const TODAY: Readonly<Record<string, string>> = {
  Y: '2024',
  y: '24',
  m: '07',
  d: '26',
  b: 'Jul',
  B: 'July',
  a: 'Fri',
  A: 'Friday',
  H: '00',
  M: '00',
  S: '00',
  '%': '%',
}

/** Python's range is lazy, the interpreter's is an array: a longer one is an attack on the memory, not a loop over messages. */
const MAX_RANGE = 100_000

const START = '__temper_generation_start'
const END = '__temper_generation_end'

/** `{% generation %}` and `{% endgeneration %}` with the white space that trim_blocks and lstrip_blocks take. */
const GENERATION_TAGS = /(?:^[ \t]*)?\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}\n?/gm

/** Parses a template as transformers does (trim_blocks, lstrip_blocks). Throws what the parser throws. */
export function parseChatTemplate(source: string, tokens: TemplateTokens): ChatTemplate {
  // The interpreter drops generation tags. To see where they stood, they are made expressions that print what they are given.
  const visible = source.replace(
    GENERATION_TAGS,
    (_, left: string, end: string | undefined, right: string) => {
      const [open, close] = [left === '-' ? '{{-' : '{{', right === '-' ? '-}}' : '}}']
      return `${open} ${end ? END : START} ${close}`
    },
  )
  const program = parse(tokenize(visible, { trim_blocks: true, lstrip_blocks: true }))
  return {
    marksGeneration: visible !== source,
    render(messages, { generationPrompt, marks }) {
      const environment = new Environment()
      const variables = {
        ...GLOBALS,
        messages: messages.map(templateMessage),
        add_generation_prompt: generationPrompt,
        // transformers hands both over as None where there are none, and templates ask `is not none`.
        tools: null,
        documents: null,
        bos_token: tokens.bosToken,
        eos_token: tokens.eosToken,
        pad_token: tokens.padToken,
        [START]: marks?.start ?? '',
        [END]: marks?.end ?? '',
      }
      for (const [name, value] of Object.entries(variables)) environment.set(name, value)
      return String(new Interpreter(environment).run(program).value)
    },
  }
}

/** What a template may call. The library's own set has the clock and a range without bound. */
const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (message: string) => {
    throw new Error(message)
  },
  range: (start: number, stop?: number, step = 1) => {
    const [from, to] = stop === undefined ? [0, start] : [start, stop]
    const length = Math.max(0, Math.ceil((to - from) / step))
    if (!(length <= MAX_RANGE)) throw new Error(`range(${from}, ${to}, ${step}) is too long`)
    return Array.from({ length }, (_, index) => from + index * step)
  },
  strftime_now: (format: string) =>
    format.replace(/%(.)/g, (whole, letter: string) => TODAY[letter] ?? whole),
}

/** A message as templates expect it: role and content, and an Alpaca row's two parts. */
function templateMessage({ role, content, instruction, input }: ChatMessage): Record<string, string> {
  return {
    role,
    content,
    ...(instruction !== undefined && { instruction }),
    ...(input !== undefined && { input }),
  }
}
