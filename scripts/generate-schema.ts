/** Writes schema/fine-tune.schema.json from the zod schema; a test asserts that it is up to date. Run with `node`. */
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { format } from 'prettier'
import { fineTuneJsonSchema } from '../src/spec/json-schema.ts'

const target = fileURLToPath(new URL('../schema/fine-tune.schema.json', import.meta.url))
await mkdir(new URL('../schema/', import.meta.url), { recursive: true })
await writeFile(
  target,
  await format(JSON.stringify(fineTuneJsonSchema()), { parser: 'json', printWidth: 110 }),
)
console.log(`wrote ${target}`)
