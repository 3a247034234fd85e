import { styleText } from 'node:util'

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

/** Where a command speaks: lines that stay, and below them, in an interactive terminal, a block that is redrawn. */
export interface Terminal {
  /** The block is redrawn in place; otherwise what it would show has to be said in lines. */
  readonly isInteractive: boolean
  readonly columns: number
  line(text?: string): void
  /** Replaces the block; an empty one removes it. Lines longer than the terminal is wide are the caller's to cut. */
  block(lines: readonly string[]): void
  style(text: string, ...styles: Style[]): string
}

export function openTerminal(
  stream: NodeJS.WriteStream,
  environment: Record<string, string | undefined>,
): Terminal {
  const isInteractive = stream.isTTY && environment.TERM !== 'dumb' && !environment.CI
  let shown: readonly string[] = []
  const erase = (): string => (shown.length === 0 ? '' : `\u001b[${shown.length}A\u001b[0J`)
  return {
    isInteractive,
    get columns() {
      return stream.isTTY ? stream.columns : 110
    },
    line(text = '') {
      stream.write(`${erase()}${text}\n${shown.map((line) => `${line}\n`).join('')}`)
    },
    block(lines) {
      if (!isInteractive) return
      stream.write(`${erase()}${lines.map((line) => `${line}\n`).join('')}`)
      shown = lines
    },
    style: (text, ...styles) => (stream.isTTY ? styleText(styles, text, { stream }) : text),
  }
}
