/** Writes schema/fine-tune.schema.json from the zod schema; a test asserts that it is up to date. Run with `node`. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { jsonSchemaText } from '../src/spec/json-schema.ts'

const target = new URL('../schema/fine-tune.schema.json', import.meta.url)
mkdirSync(new URL('.', target), { recursive: true })
writeFileSync(target, jsonSchemaText())
console.log(`wrote ${fileURLToPath(target)}`)
