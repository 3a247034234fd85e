import type { Command } from 'commander'
import type { BackgroundMessage } from '../background.ts'
import { onInterrupt } from '../interrupt.ts'
import { parsePort } from '../options.ts'
import { openOutputs } from '../outputs.ts'
import { openSession } from '../session.ts'
import { startWorker } from '../worker-process.ts'

export function addUpCommand(program: Command): void {
  program
    .command('up')
    .description(
      'Serve jobs until stopped: a Temporal server (unless TEMPORAL_ADDRESS names one) and a worker.',
    )
    .option('--port <port>', 'port of the Temporal server that is started', parsePort)
    .addHelpText('after', '\nExample:\n  $ temper up --port 7233')
    .action(async (options: { port?: number }) => {
      await up(options.port)
    })
}

async function up(port: number | undefined): Promise<void> {
  const { terminal, say } = openOutputs(false)
  const interrupt = onInterrupt()
  const session = await openSession({
    command: 'temper up',
    works: true,
    say,
    signal: interrupt,
    ...(port !== undefined && { port }),
  })
  try {
    const worker = startWorker(session, say)
    process.on('exit', () => worker.kill())
    await worker.ready
    terminal.line(`Temporal at ${session.server.address} (${session.server.from})`)
    if (session.server.ui !== undefined) terminal.line(`Its pages: ${session.server.ui}`)
    terminal.line(`Artifacts in ${session.storeUri}`)
    terminal.line('Serving jobs. Ctrl-C saves checkpoints and stops.')
    if (process.connected) process.send?.({ type: 'ready' } satisfies BackgroundMessage)
    await Promise.race([aborted(interrupt), worker.lost])
    say('Saving checkpoints and stopping …')
    await worker.stop()
  } finally {
    await session.close()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    // An abort listener alone does not keep the process alive; the worker's channel does.
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
