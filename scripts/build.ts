// Compiles what `npm pack` ships: Node runs no TypeScript below node_modules, and a worker in production loads a workflow
// bundle that was made once instead of bundling at every start.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workflowCode } from './workflow-code.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')

rmSync(dist, { recursive: true, force: true })
execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
process.chdir(root)
mkdirSync(join(dist, 'workflows'), { recursive: true })
writeFileSync(join(dist, 'workflows/bundle.js'), await workflowCode(root))
cpSync(join(root, 'package.json'), join(dist, 'package.json'))
