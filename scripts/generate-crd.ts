/** Writes the chart's CustomResourceDefinition from the spec's zod schema; a test asserts that it is up to date. */
import { writeFile } from 'node:fs/promises'
import { fineTuneCrdText } from './crd-text.ts'

const target = new URL('../charts/temper/crds/finetunes.temper.dev.yaml', import.meta.url)
await writeFile(target, fineTuneCrdText())
