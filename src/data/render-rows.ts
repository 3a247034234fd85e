import { type ChildProcess, fork } from 'node:child_process'
import { extname } from 'node:path'
import { InputError, TransientError } from '../errors.ts'
import type { RenderedRow } from './assistant-spans.ts'
import type { ChatMessage } from './canonical-row.ts'
import type { TemplateTokens } from './chat-template.ts'
import type { RenderReply, RenderRequest } from './render-protocol.ts'

export interface RenderLimits {
  /** For one row, and for parsing the template. */
  milliseconds: number
  /** Heap of the rendering process, in MiB. */
  heap: number
}

/**
 * The longest conversations take a few hundred milliseconds. The heap has room for a batch of the longest rows; a template that
 * fills it is broken or hostile.
 */
const LIMITS: RenderLimits = { milliseconds: 10_000, heap: 512 }

/** A row with its place, for errors. */
export interface RowToRender {
  at: string
  messages: ChatMessage[]
}

export interface Renderer {
  /** In the order of `rows`. InputError naming the row that the template refuses, or what the template does wrong. */
  render(template: { source: string; label: string }, rows: readonly RowToRender[]): Promise<RenderedRow[]>
  close(): void
}

/** A renderer with its process (see render-child.ts), which starts with the first row. One `render` at a time. */
export function openRenderer(tokens: TemplateTokens, limits: RenderLimits = LIMITS): Renderer {
  let child: ChildProcess | undefined
  return {
    async render({ source, label }, rows) {
      child ??= start(limits)
      const request: RenderRequest = {
        template: source,
        tokens,
        rows: rows.map((row) => row.messages),
        milliseconds: limits.milliseconds,
      }
      const reply = await ask(child, request, { label, heap: limits.heap })
      if (reply.kind === 'rendered') return reply.rows
      const { row, message } = reply
      if (row === undefined)
        throw new InputError(
          `spec.data.template: ${label} is no valid Jinja (${message}); mend it or choose another`,
        )
      throw new InputError(
        `${rows[row]?.at ?? 'a row'}: ${label} fails on this row (${message}); mend the row or spec.data.template`,
      )
    },
    close() {
      child?.kill('SIGKILL')
      child = undefined
    },
  }
}

function start({ heap }: RenderLimits): ChildProcess {
  // The sources run as they are or compiled: the child's file has the ending of this one.
  return fork(new URL(`./render-child${extname(import.meta.url)}`, import.meta.url), [], {
    execArgv: [`--max-old-space-size=${heap}`],
    env: withoutSecrets(process.env),
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'], // where its heap is full, V8 prints pages
  })
}

/** A template needs no secret; its process starts sooner where others have compiled its code before. */
function withoutSecrets({ NODE_COMPILE_CACHE }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }
}

/** For the error, where the process ends without an answer. */
interface About {
  label: string
  heap: number
}

function ask(child: ChildProcess, request: RenderRequest, about: About): Promise<RenderReply> {
  return new Promise((resolve, reject) => {
    const onMessage = (reply: unknown) => {
      child.off('exit', onExit)
      resolve(reply as RenderReply)
    }
    const onExit = (code: number | null, signal: NodeJS.Signals | null) => {
      child.off('message', onMessage)
      reject(ended(code, signal, about))
    }
    child.once('message', onMessage)
    child.once('exit', onExit)
    child.send(request, (error) => {
      if (error) child.kill('SIGKILL') // its exit is the answer
    })
  })
}

/** V8 aborts where its heap is full. Anything else was done to the process from outside. */
function ended(code: number | null, signal: NodeJS.Signals | null, { label, heap }: About): Error {
  if (signal === 'SIGABRT' || signal === 'SIGTRAP' || signal === 'SIGILL' || code === 134)
    return new InputError(
      `spec.data.template: ${label} needs more than ${heap} MiB of memory for a row; mend it or choose another`,
    )
  return new TransientError(`The process that renders the template ended (code ${code}, signal ${signal})`)
}
