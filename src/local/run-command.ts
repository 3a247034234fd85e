import { spawn } from 'node:child_process'

/** How much of a failing command's last words is kept: enough for a reason, not for a build log. */
const maxLastWords = 4_000

export interface CommandOptions {
  timeoutMilliseconds: number
  environment?: Record<string, string>
  signal?: AbortSignal
}

/** Runs a program to its end. Rejects with its own last line as the reason where it fails, is missing or takes too long. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const timeout = AbortSignal.timeout(options.timeoutMilliseconds)
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
    signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
  })
  let output = ''
  let lastWords = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-maxLastWords)
  })
  child.on('error', (error: NodeJS.ErrnoException) => {
    options.signal?.throwIfAborted()
    if (error.code === 'ENOENT') reject(new Error(`${command} is not installed`))
    else if (timeout.aborted)
      reject(new Error(`${command} took longer than ${options.timeoutMilliseconds / 1000} s`))
    else reject(error)
  })
  child.on('close', (code) => {
    if (code === 0) resolve(output)
    else reject(new Error(reasonOf(lastWords || output) ?? `${command} ended with exit code ${code}`))
  })
  return promise
}

/** The last line that says what is wrong; warnings around it are left out. */
function reasonOf(text: string): string | undefined {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(warning|\[?notice)/i.test(line))
  return lines.findLast((line) => /error|fail|no matching/i.test(line)) ?? lines.at(-1)
}
