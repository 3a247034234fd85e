import type { RenderedRow } from './assistant-spans.ts'
import type { ChatMessage } from './canonical-row.ts'
import type { TemplateTokens } from './chat-template.ts'

/** What the parent asks of render-child.ts: one at a time. */
export interface RenderRequest {
  template: string
  tokens: TemplateTokens
  rows: ChatMessage[][]
  /** For each row, and for parsing the template. */
  milliseconds: number
}

/** Its answer. `row` is the index of the row that failed; without one the template itself did not parse. */
export type RenderReply =
  { kind: 'rendered'; rows: RenderedRow[] } | { kind: 'failed'; row: number | undefined; message: string }
