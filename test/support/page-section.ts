import { readFile, writeFile } from 'node:fs/promises'
import { format, resolveConfig } from 'prettier'

/** A part of a page between two marks, which another program writes than the rest. */
const marks = (name: string) => [`<!-- ${name} -->`, `<!-- end of ${name} -->`] as const

/** With its marks; nothing where the page has no such part. */
function sectionOf(page: string, name: string): string {
  const [begin, end] = marks(name)
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  return from === -1 || to === -1 ? '' : page.slice(from, to + end.length)
}

/** Writes that part of a page: in the place of the former one, or at the end. */
export async function writeSection(page: URL, name: string, text: string): Promise<void> {
  const before = await textOf(page)
  const [begin, end] = marks(name)
  const section = `${begin}\n\n${text.trim()}\n\n${end}`
  const old = sectionOf(before, name)
  await write(page, old === '' ? `${before.trimEnd()}\n\n${section}\n` : before.replace(old, () => section))
}

/** Writes a page anew, and keeps that part of it. */
export async function writeAround(page: URL, name: string, text: string): Promise<void> {
  await write(page, `${text.trimEnd()}\n\n${sectionOf(await textOf(page), name)}\n`)
}

async function write(page: URL, text: string): Promise<void> {
  await writeFile(page, await format(text, { ...(await resolveConfig(page)), parser: 'markdown' }))
}

async function textOf(page: URL): Promise<string> {
  try {
    return await readFile(page, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return ''
  }
}
