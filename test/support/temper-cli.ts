import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { isRunning, type ProcessIdentity } from '../../src/local/process-identity.ts'
import { writeTinyModel } from './tiny-model.ts'

/** The command of this checkout. */
const ownLauncher = fileURLToPath(new URL('../../bin/temper.js', import.meta.url))

export interface CommandEnd {
  code: number | null
  stdout: string
  stderr: string
}

export interface RunningCommand {
  child: ChildProcess
  /** All that it has said so far. */
  said(): string
  ended: Promise<CommandEnd>
}

/** A folder with a tiny model and rows, and a state folder in it: the temper command as a person uses it there. */
export interface TemperFolder {
  root: string
  /** The state folder. */
  state: string
  temper(...args: string[]): Promise<CommandEnd>
  start(...args: string[]): RunningCommand
  /** Writes a job over the folder's model and rows; returns its file name. */
  job(name: string, spec?: JobChanges): string
  remove(): void
}

interface JobChanges {
  model?: object
  data?: object
  train?: object
  eval?: object
  quantize?: object
  publish?: object
}

export async function temperFolder(
  given: Record<string, string> = {},
  launcher = ownLauncher,
): Promise<TemperFolder> {
  const root = mkdtempSync(join(tmpdir(), 'temper-cli-'))
  const state = join(root, 'state')
  mkdirSync(state)
  await writeTinyModel(join(root, 'model'))
  const rows = Array.from({ length: 60 }, (_, i) => ({
    instruction: `What is ${i} plus one?`,
    output: `It is ${i + 1}.`,
  }))
  writeFileSync(join(root, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const { TEMPORAL_ADDRESS: _, TEMPER_STORE: __, ...environment } = process.env

  const start = (...args: string[]): RunningCommand => {
    const child = spawn(process.execPath, [launcher, ...args], {
      cwd: root,
      env: { ...environment, TEMPER_HOME: state, NO_COLOR: '1', ...given },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const ended = new Promise<CommandEnd>((resolve) => {
      child.on('close', (code) => resolve({ code, stdout, stderr }))
    })
    return { child, ended, said: () => stdout + stderr }
  }
  return {
    root,
    state,
    start,
    temper: (...args) => start(...args).ended,
    job(name, spec = {}) {
      const file = `${name}.yaml`
      writeFileSync(join(root, file), stringify(document(name, spec)))
      return file
    },
    remove() {
      endRecorded(state)
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** A test that failed half-way leaves its server and its commands behind; they are known by name and start. */
function endRecorded(state: string): void {
  const files = [
    join(state, 'server.json'),
    ...namesIn(join(state, 'users')).map((name) => join(state, 'users', name)),
  ]
  for (const file of files) {
    const identity = jsonIn(file) as ProcessIdentity | undefined
    if (identity !== undefined && isRunning(identity)) process.kill(identity.pid, 'SIGKILL')
  }
}

function document(
  name: string,
  { model, data, train, eval: evaluation, quantize, publish = {} }: JobChanges,
): object {
  return {
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name },
    spec: {
      model: { source: 'model', ...model },
      data: { train: ['rows.jsonl'], maxLength: 128, ...data },
      train: { r: 4, loraAlpha: 8, learningRate: 1e-3, maxSteps: 4, threads: 1, ...train },
      eval: { samples: 1, maxNewTokens: 4, ...evaluation },
      quantize: { maxLossIncrease: 1, ...quantize },
      publish,
    },
  }
}

/** Waits for something to become true; fails with what a command has said. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false,
  said = (): string => '',
): Promise<T> {
  const limitMilliseconds = 120_000
  for (let waited = 0; waited < limitMilliseconds; waited += 20) {
    const found = look()
    if (found) return found
    await sleep(20)
  }
  throw new Error(`waited for ${what} in vain; said: ${said()}`)
}

/** Names in a folder, none where it is not there yet. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** The file's JSON, or undefined where it is not there. */
export function jsonIn(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
