import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const SCENARIO = fileURLToPath(new URL('scenario.ts', import.meta.url))

export interface Scenario {
  name: string
  uri: string
  folder: string
  attempt?: string
  environment?: Record<string, string>
  /** A module beside this one that the process loads first. */
  preload?: 'die-at.ts' | 'trace-files.ts'
}

export interface Ran {
  /** What the process said was done. */
  said: string[]
  code: number | null
  signal: NodeJS.Signals | null
}

/** Runs a scenario of scenario.ts in a process of its own, to its end or death. */
export async function runScenario(
  { name, uri, folder, attempt = 'a1', environment = {}, preload }: Scenario,
  hear: { start?: (child: ChildProcess) => void; line?: (line: string) => void } = {},
): Promise<Ran> {
  const first = preload === undefined ? [] : ['--import', new URL(preload, import.meta.url).href]
  const child = spawn(process.execPath, [...first, SCENARIO, name, uri, folder, attempt], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  hear.start?.(child)
  let output = ''
  let heard = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    const lines = output.split('\n').slice(0, -1)
    for (const line of lines.slice(heard)) hear.line?.(line)
    heard = lines.length
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ said: output.split('\n').slice(0, -1), code, signal }))
  })
}

/** Small reproducible random numbers in [0, 1) (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
