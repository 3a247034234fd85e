import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import type { Dialogue } from '../export/dialogue.ts'
import type { Manifest } from '../store/artifact.ts'

/** How the model was taught to converse, from the artifact of the rows that taught it. */
export function dialogueOf(tokenized: { dir: string; manifest: Manifest<TokenizeSummary> }): Dialogue {
  const { endOfTurn, endOfTurnId } = tokenized.manifest.summary
  return {
    chatTemplate: readFileSync(join(tokenized.dir, 'chat-template.jinja'), 'utf8'),
    endOfTurn: { id: endOfTurnId, token: endOfTurn },
  }
}
