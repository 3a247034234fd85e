import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { resolveBaseModel } from '../../../src/base/resolve-base-model.ts'
import { openStore } from '../../../src/store/open-store.ts'

// What a worker reaches, by the environment that the chart gives it: node reach-out.ts CACHE. Says what came.

const [, , cacheDir = ''] = process.argv
const endpoint = process.env['HF_ENDPOINT']
const model = await resolveBaseModel('hf://owner/model', { cacheDir, ...(endpoint && { endpoint }) })
const weights = await readFile(join(model.path, 'model.safetensors'), 'utf8')
const store = await openStore(process.env['TEMPER_STORE'] ?? '')
const key = `reached/${randomBytes(4).toString('hex')}`
await store.write(key, weights, { kind: 'absent' })
const stored = await store.read(key)
console.log(JSON.stringify({ weights, stored: stored && Buffer.from(stored.bytes).toString() }))
