/** Writes the chart's README from its values; a test asserts that it is up to date. */
import { writeFile } from 'node:fs/promises'
import { valuesReference } from './values-reference.ts'

await writeFile(new URL('../charts/temper/README.md', import.meta.url), valuesReference())
