import { readFileSync } from 'node:fs'

/** The text of a file that the kernel makes (below /proc or /sys); undefined where this system has none, or does not let it be read. */
export function kernelFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
