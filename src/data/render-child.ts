import { createContext, Script } from 'node:vm'
import { renderRow } from './assistant-spans.ts'
import { type ChatTemplate, parseChatTemplate } from './chat-template.ts'
import type { RenderReply, RenderRequest } from './render-protocol.ts'

/**
 * Renders rows in a process of its own, since a template is a program by a stranger: one that loops is cut off here by the
 * clock, one that fills the memory ends only this process. The parent (render-rows.ts) starts it with a small heap.
 * When the parent is gone its channel closes, and with it this process.
 */

/** Of one rendered row. A row is at most 16 MiB and a template adds little to it: more than twice that is a template gone wild. */
const MAX_CHARACTERS = 32 * 1024 * 1024

/** A timeout of vm ends whatever runs below it, the interpreter and regular expressions included. */
const context = createContext({ work: undefined })
const script = new Script('work()')
function bounded<T>(milliseconds: number, work: () => T): T {
  let result: T | undefined
  context['work'] = () => {
    result = work()
  }
  script.runInContext(context, { timeout: milliseconds })
  return result as T
}

let parsed: { source: string; template: ChatTemplate } | undefined

function answer({ template: source, tokens, rows, milliseconds }: RenderRequest): RenderReply {
  let row: number | undefined
  try {
    if (parsed?.source !== source)
      parsed = { source, template: bounded(milliseconds, () => parseChatTemplate(source, tokens)) }
    const { template } = parsed
    const rendered = rows.map((messages, index) => {
      row = index
      const result = bounded(milliseconds, () => renderRow(template, messages))
      if (result.text.length > MAX_CHARACTERS)
        throw new Error(`it makes more than ${MAX_CHARACTERS} characters of one row`)
      return result
    })
    return { kind: 'rendered', rows: rendered }
  } catch (cause) {
    return { kind: 'failed', row, message: inWords(cause, milliseconds) }
  }
}

function inWords(cause: unknown, milliseconds: number): string {
  // Not instanceof: the timeout's error is of another realm.
  const code = cause !== null && typeof cause === 'object' && 'code' in cause ? cause.code : undefined
  if (code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return `it takes longer than ${milliseconds / 1000} seconds`
  const message = cause !== null && typeof cause === 'object' && 'message' in cause ? cause.message : cause
  return String(message)
}

process.on('message', (request: RenderRequest) => {
  process.send?.(answer(request))
})
