import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EVALUATION_FILE, type Evaluation } from '../src/eval/evaluate-task.ts'
import type { FineTuneSummary } from '../src/stages/fine-tune-summary.ts'
import { findArtifact, openArtifact } from '../src/store/artifact.ts'
import { clip } from './display/format.ts'
import type { Terminal } from './display/terminal.ts'
import type { Session } from './session.ts'

/** An answer is shown in so many lines: enough to see whether it is one. */
const MAX_ANSWER_LINES = 3
const LABEL_WIDTH = 7

/** The evaluation's sample questions with the answers of the base and of the tuned model, one above the other. */
export async function reportAnswers(
  session: Session,
  { artifacts }: FineTuneSummary,
  terminal: Terminal,
): Promise<void> {
  const manifest = await findArtifact(session.store, artifacts.evaluation)
  if (manifest === undefined) return
  const { dir } = await openArtifact(session.store, manifest, join(session.state.cache, 'artifacts'))
  const { samples } = JSON.parse(await readFile(join(dir, EVALUATION_FILE), 'utf8')) as Evaluation
  for (const { question, answers } of samples) {
    terminal.line()
    terminal.line(terminal.style(clip(oneLine(question), terminal.columns), 'bold'))
    for (const [name, answer] of Object.entries(answers)) {
      const [first = '', ...rest] = wrap(oneLine(answer), terminal.columns - LABEL_WIDTH)
      terminal.line(`${terminal.style(name.padEnd(LABEL_WIDTH), name === 'tuned' ? 'green' : 'dim')}${first}`)
      for (const line of rest) terminal.line(`${' '.repeat(LABEL_WIDTH)}${line}`)
    }
  }
}

/** On one line, and without control characters: a model may answer anything, and a terminal obeys. */
function oneLine(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/\p{Cc}/gu, '')
    .trim()
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (let rest = text; rest !== '';) {
    if (lines.length === MAX_ANSWER_LINES - 1 || rest.length <= width) {
      lines.push(clip(rest, width))
      break
    }
    const at = rest.lastIndexOf(' ', width)
    const end = at > 0 ? at : width
    lines.push(rest.slice(0, end))
    rest = rest.slice(end).trimStart()
  }
  return lines
}
