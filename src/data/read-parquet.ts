import { open, stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { InputError } from '../errors.ts'
import type { ParquetReply } from './parquet-protocol.ts'
import type { SourceFile, SourceRow } from './source-row.ts'

/** Heap of the reading thread in MiB: several times the largest row group, whose rows become objects. */
const HEAP = 4096
const MAGIC = 'PAR1'
/** Magic bytes at both ends, and the length of the footer. */
const SHORTEST = 12

/**
 * Rows of a Parquet file, a row group at a time; a row's number counts from 1. All types of columns become what JSON has
 * (plainValue). InputError where the file is cut off, damaged, packed by LZ4 or LZO, or too large in one row group.
 */
export async function* readParquet(source: SourceFile): AsyncGenerator<SourceRow> {
  const { name, path } = source
  await checkEnds(source)
  const thread = new Worker(new URL(`./parquet-thread${extname(import.meta.url)}`, import.meta.url), {
    workerData: { path },
    env: {}, // a file needs no secret
    resourceLimits: { maxOldGenerationSizeMb: HEAP },
  })
  let row = 0
  try {
    for (;;) {
      const reply = await ask(thread, name)
      if (reply.type === 'end') return
      if (reply.type === 'failed') throw unreadable(name, reply.message)
      for (const value of reply.rows) {
        row++
        yield { at: `${name}:${row}`, value }
      }
    }
  } finally {
    await thread.terminate()
  }
}

function ask(thread: Worker, name: string): Promise<ParquetReply> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      thread.off('message', onMessage).off('error', onError).off('exit', onExit)
      act()
    }
    const onMessage = (reply: ParquetReply) => settle(() => resolve(reply))
    const onError = (error: Error) => settle(() => reject(unreadable(name, error.message)))
    const onExit = (code: number) => settle(() => reject(unreadable(name, `its reader ended with ${code}`)))
    thread.on('message', onMessage).on('error', onError).on('exit', onExit)
    thread.postMessage('next')
  })
}

function unreadable(name: string, why: string): InputError {
  return new InputError(`${name}: cannot be read as Parquet (${why}); get the file again or write it anew`)
}

/** A file that is cut off has no magic bytes at its end: the commonest damage gets a sentence of its own. */
async function checkEnds({ name, path }: SourceFile): Promise<void> {
  try {
    const { size } = await stat(path)
    if (size >= SHORTEST) {
      const file = await open(path)
      try {
        const read = async (position: number) => {
          const { buffer } = await file.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, position)
          return buffer.toString('latin1')
        }
        const [first, last] = [await read(0), await read(size - MAGIC.length)]
        if (first === MAGIC && last === MAGIC) return
        if (last === 'PARE') throw unreadable(name, 'it is encrypted')
        if (first === MAGIC) throw unreadable(name, 'it is cut off')
      } finally {
        await file.close()
      }
    }
    throw unreadable(name, 'it is none')
  } catch (cause) {
    if (cause instanceof InputError) throw cause
    const { code } = cause as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code ?? String(cause)})`
    throw new InputError(`${name}: ${why}; check the path in spec.data`, { cause })
  }
}
