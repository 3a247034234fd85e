import { type Terminal, openTerminal } from './display/terminal.ts'

/** What a command says, and what it hands to a program. */
export interface Outputs {
  /** For people: stdout, or stderr where stdout belongs to a program. */
  terminal: Terminal
  /** A dim line about what is going on beside the job. */
  say(message: string): void
  /** With --json: one line of JSON on stdout. Without: nothing. */
  json(value: object): void
}

export function openOutputs(isJson: boolean): Outputs {
  const terminal = openTerminal(isJson ? process.stderr : process.stdout, process.env)
  return {
    terminal,
    say: (message) => terminal.line(terminal.style(message, 'dim')),
    json: (value) => {
      if (isJson) process.stdout.write(`${JSON.stringify(value)}\n`)
    },
  }
}
