import { extname } from 'node:path'

/**
 * The module `name` beside the one whose import.meta.url is given, to be started as a process or a thread: .ts where the sources
 * run as they are, .js where they were compiled.
 */
export function siblingModule(name: string, importer: string): URL {
  return new URL(`./${name}${extname(importer)}`, importer)
}
