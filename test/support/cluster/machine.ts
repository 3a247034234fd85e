import { readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ProcessIdentity, identifyProcess, isRunning } from '../../../src/local/process-identity.ts'
import { runCommand } from '../../../src/local/run-command.ts'
import { program } from './binaries.ts'
import { type ServerOptions, type ServerProcess, end, residentBytes, startServer } from './server-process.ts'

/**
 * A machine made of namespaces: its own network, mounts, host name and processes. When its first process ends the kernel
 * ends everything in it and takes its mounts and links away, so nothing is left behind even by a test that was killed.
 */
export interface Machine {
  name: string
  /** The first process, by which the namespaces are entered. */
  init: ProcessIdentity
  run(command: string, ...args: string[]): Promise<string>
  start(
    name: string,
    command: string,
    args: readonly string[],
    options: ServerOptions,
  ): Promise<ServerProcess>
  stop(): Promise<void>
}

const commandMilliseconds = 10 * 60_000
const appearMilliseconds = 30_000

/** `folder` holds its /var/lib and /var/log, to be read from outside. */
export async function startMachine(name: string, folder: string): Promise<Machine> {
  const unshare = await startServer(
    name,
    'unshare',
    [
      ...['--mount', '--net', '--uts', '--pid', '--fork', '--kill-child=KILL', '--mount-proc', '--'],
      await program('pause'),
    ],
    { log: join(folder, 'machine.log') },
  )
  const init = await onlyChild(unshare)
  const entry = ['--target', String(init.pid), '--mount', '--net', '--uts', '--pid', '--']
  const machine: Machine = {
    name,
    init,
    run: (command, ...args) =>
      runCommand('nsenter', [...entry, command, ...args], { timeoutMilliseconds: commandMilliseconds }),
    start: async (server, command, args, options) => {
      const entered = await startServer(server, 'nsenter', [...entry, command, ...args], options)
      const identity = await onlyChild(entered)
      return {
        ...entered,
        identity,
        isRunning: () => isRunning(identity),
        memory: () => residentBytes(identity.pid),
        stop: (signal) => end(identity, signal, options.graceMilliseconds),
      }
    },
    stop: async () => {
      await end(init, 'SIGKILL')
      await unshare.stop()
    },
  }
  try {
    await machine.run('hostname', name)
    // Places with fixed names are this machine's own: two kubelets would share the folder of device plugins' sockets.
    await machine.run('mount', '-t', 'tmpfs', name, '/run')
    for (const place of ['lib', 'log']) {
      const own = join(folder, 'var', place)
      await mkdir(own, { recursive: true })
      await machine.run('mount', '--bind', own, `/var/${place}`)
    }
    await shieldKernel(machine, join(folder, 'sysctl'))
    await machine.run('ip', 'link', 'set', 'lo', 'up')
    return machine
  } catch (error) {
    await machine.stop()
    throw error
  }
}

/** What a kubelet sets when it starts, for the whole kernel: it would outlive the test. */
const kernelSettings = ['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops']

/** Lays plain files over these settings: written and read as usual, of no effect outside. */
async function shieldKernel(machine: Machine, folder: string): Promise<void> {
  await mkdir(folder)
  for (const setting of kernelSettings) {
    const real = `/proc/sys/${setting}`
    const copy = join(folder, setting.replace('/', '.'))
    await writeFile(copy, await readFile(real))
    await machine.run('mount', '--bind', copy, real)
  }
}

/** What unshare and nsenter have started inside: they wait outside for its end. */
async function onlyChild(parent: ServerProcess): Promise<ProcessIdentity> {
  const pollMilliseconds = 10
  const { pid } = parent.identity
  for (let waited = 0; waited < appearMilliseconds && parent.isRunning(); waited += pollMilliseconds) {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
    const identity = child ? identifyProcess(Number(child)) : undefined
    if (identity !== undefined) return identity
    await sleep(pollMilliseconds)
  }
  throw new Error(`${parent.name} did not start: ${readFileSync(parent.log, 'utf8').slice(-1_000)}`)
}
