// Writes workflows/bundle.js: a worker in production loads what was bundled once instead of bundling at every start.
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workflowCode } from './workflow-code.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
process.chdir(root)
writeFileSync(join(root, 'workflows/bundle.js'), await workflowCode(root))
