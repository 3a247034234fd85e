import { readFile } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { runEvaluateTask } from '../eval/evaluate-task.ts'
import type { ChildMessage, ChildTask, ParentMessage } from './child-protocol.ts'
import { monotonicClock } from './clock.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { throttleProgress } from './progress-throttle.ts'
import { siblingModule } from './sibling-module.ts'
import type { TaskContext } from './task-context.ts'
import { runTrainTask } from './train-task.ts'

// The entry of the child process: `node child.ts TASK.json`, over an IPC channel. docs/training-child.md describes it.

const stop = new AbortController()

// Without its parent nobody reads what this process does, and another attempt may have begun: it ends at once, whatever it is at.
new Worker(siblingModule('parent-watch-thread', import.meta.url), { workerData: process.ppid }).unref()
const orphaned = () => process.exit(EXIT.transient)
process.once('disconnect', orphaned)
if (!process.connected) orphaned()

process.on('message', (message) => stop.abort((message as ParentMessage).reason))
// Ctrl-C in a terminal reaches the whole process group: the child saves its state, whether or not the parent tells it to.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort(signal))
process.on('uncaughtException', (error) => void end(error))

/** Resolves when the message is in the pipe. */
function send(message: ChildMessage): Promise<void> {
  return new Promise((resolve) => process.send?.(message, () => resolve()))
}

async function end(error: unknown): Promise<never> {
  const exitCode = exitCodeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  // For the parent's last words; a known failure needs no stack.
  if (exitCode === EXIT.internal) console.error(error)
  await send({ type: 'failed', exitCode, message })
  process.exit(exitCode)
}

const context: TaskContext = {
  signal: stop.signal,
  clock: monotonicClock,
  report: throttleProgress((progress) => void send({ type: 'progress', ...progress }), monotonicClock),
  checkpointSaved: (saved) => void send({ type: 'checkpoint', ...saved }),
  log: (line) => void send({ type: 'log', ...line }),
}

function perform(task: ChildTask) {
  switch (task.kind) {
    case 'train':
      return runTrainTask(task, context)
    case 'evaluate':
      return runEvaluateTask(task, context)
  }
}

try {
  const [configPath] = process.argv.slice(2)
  if (configPath === undefined) throw new Error('usage: child TASK.json')
  const task = JSON.parse(await readFile(configPath, 'utf8')) as ChildTask
  await send({ type: 'finished', summary: await perform(task) })
  process.exit(EXIT.finished)
} catch (error) {
  await end(error)
}
