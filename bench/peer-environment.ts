import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The versions that the rivals were measured with; torch's build for CPUs alone is not on the default registry. */
const PACKAGES = ['torch==2.15.*', 'transformers==5.23.*', 'peft==0.21.*', 'trl==1.16.*', 'datasets']

/** The Python of a virtual environment with what the rivals need, made in `folder` where there is none. */
export async function peerPython(folder: string): Promise<string> {
  const python = join(folder, 'bin', 'python')
  if (existsSync(python)) return python
  const run = promisify(execFile)
  console.error(`making a Python environment in ${folder} (about 2 GB, once)`)
  await run('python3', ['-m', 'venv', folder])
  await run(python, ['-m', 'pip', 'install', '--quiet', ...PACKAGES], { maxBuffer: 1 << 26 })
  return python
}
