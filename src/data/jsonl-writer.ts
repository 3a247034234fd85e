import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { writeOutputFile } from '../formats/output-file.ts'

/** Lines gathered before they are passed on: rows are small, and one system call for each would take most of the time. */
const CHUNK_CHARACTERS = 1 << 16

/** A JSON Lines file that is written while others are; its name shows it only after `close`, whole. */
export interface JsonlWriter {
  write(value: unknown): Promise<void>
  /** InputError where the disk is full. */
  close(): Promise<void>
  /** Gives up: nothing is left of the file. */
  abandon(): Promise<void>
}

export function openJsonlWriter(path: string): JsonlWriter {
  const stream = new PassThrough()
  stream.on('error', () => undefined) // it shows as the failure of `done`
  const done = writeOutputFile(path, stream)
  done.catch(() => undefined) // reported by the next write, or by close
  let pending: string[] = []
  let characters = 0
  const pass = async () => {
    const chunk = pending.join('')
    pending = []
    characters = 0
    if (stream.destroyed) await done
    if (chunk !== '' && !stream.write(chunk)) await Promise.race([once(stream, 'drain'), done])
  }
  return {
    async write(value) {
      const line = `${JSON.stringify(value)}\n`
      pending.push(line)
      characters += line.length
      if (characters >= CHUNK_CHARACTERS) await pass()
    },
    async close() {
      await pass()
      stream.end()
      await done
    },
    async abandon() {
      stream.destroy(new Error('abandoned'))
      await done.catch(() => undefined)
    },
  }
}
