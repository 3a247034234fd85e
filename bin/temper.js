#!/usr/bin/env node
// Starts the command with Node 24. This file is plain JavaScript that any Node since 18 can run: where the machine's own Node is
// older, the one that npm brought along (packages node-<platform>-<arch>) runs the command instead.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import { constants, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'

const neededMajor = 24
const root = join(dirname(fileURLToPath(import.meta.url)), '..')
// A checkout runs its sources as they are; what npm pack ships has only compiled files.
const source = join(root, 'cli', 'main.ts')
const entry = existsSync(source) ? source : join(root, 'dist', 'cli', 'main.js')

// Half of a short command's time is compiling; every process that this one starts shares what is compiled once.
const cache =
  process.env.TEMPER_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'temper')
process.env.NODE_COMPILE_CACHE ??= join(cache, 'compiled')

if (Number.parseInt(process.versions.node, 10) >= neededMajor) {
  module.enableCompileCache?.(process.env.NODE_COMPILE_CACHE)
  await import(pathToFileURL(entry).href)
} else {
  runWith(bundledNode())
}

function bundledNode() {
  const name = `node-${process.platform}-${process.arch}`
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'node')
  } catch {
    console.error(
      `temper needs Node ${neededMajor} or newer, this is ${process.version}, and the npm package ${name} is not installed: ` +
        `install Node ${neededMajor}, or run npm install again without --omit=optional.`,
    )
    process.exit(1)
  }
}

function runWith(node) {
  // The channel tells the command when this process dies, by whatever means: then it stops in good order.
  const child = spawn(node, [entry, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, TEMPER_LAUNCHER: '1' },
  })
  // Ctrl-C reaches the child by itself, since it is of the same group; this process waits for what it says.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    console.error(`temper cannot start ${node}: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
}
