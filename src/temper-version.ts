import { readFileSync } from 'node:fs'

/** package.json lies one folder up in a checkout, and is copied beside the compiled files for the package. */
export function temperVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
