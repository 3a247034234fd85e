import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Program, program } from './binaries.ts'
import { type Authority, type Certificate, createAuthority } from './certificates.ts'
import { freePorts } from './free-ports.ts'
import { folderPrefix, markFolder, sweepLeftovers } from './leftovers.ts'
import { type ServerProcess, startServer, untilReady } from './server-process.ts'

interface ControlPlaneOptions {
  /** Where the API server listens; a cluster with nodes needs an address that pods reach. */
  address?: string
  /** Addresses of services; the first one is the API server's own inside of pods. */
  serviceRange?: string
  /** Which controllers run: none (as envtest does), some by their name, or all of them. */
  controllers?: 'none' | 'all' | readonly string[]
  scheduler?: boolean
}

export interface ControlPlane {
  url: string
  /** Where the API server listens. */
  address: string
  /** Everything of this cluster lies here and is removed by `stop`. */
  folder: string
  authority: Authority
  /** A kubeconfig file of a member of system:masters. */
  kubeconfig: string
  /** A kubeconfig file for another user; RBAC decides what it may do. */
  kubeconfigFor(user: string, groups?: readonly string[]): Promise<string>
  servers: readonly ServerProcess[]
  stop(): Promise<void>
}

/** Seconds on idle cores; the machine may be busy. */
const readyMilliseconds = 120_000

/** etcd and a real API server with RBAC, each with free ports, certificates and data of its own. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  await sweepLeftovers()
  const folder = await mkdtemp(join(tmpdir(), folderPrefix))
  await markFolder(folder)
  const servers: ServerProcess[] = []
  const stop = async () => {
    // Backwards: who asks is stopped before who answers.
    for (const server of servers.toReversed()) await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    return await start(folder, servers, stop, options)
  } catch (error) {
    await stop()
    throw error
  }
}

async function start(
  folder: string,
  servers: ServerProcess[],
  stop: () => Promise<void>,
  options: ControlPlaneOptions,
): Promise<ControlPlane> {
  const { address = '127.0.0.1', controllers = 'none', scheduler = false } = options
  await mkdir(join(folder, 'logs'))
  const authority = await createAuthority(join(folder, 'certificates'))
  const [etcdPort, peerPort] = await freePorts(2)
  const [port] = await freePorts(1, address)
  const url = `https://${address}:${port}`
  const run = async (name: Program, args: readonly string[]) => {
    const log = join(folder, 'logs', `${name}.log`)
    const server = await startServer(name, await program(name), args, { log })
    servers.push(server)
    return server
  }
  const kubeconfigFor = async (user: string, groups: readonly string[] = []) => {
    const file = user.replaceAll(/[^\w.-]/g, '-')
    const certificate = await authority.issue(file, { commonName: user, organizations: groups })
    return writeKubeconfig(url, authority, certificate)
  }
  const etcdUrl = `http://127.0.0.1:${etcdPort}`
  await run('etcd', etcdArguments(join(folder, 'etcd'), etcdUrl, `http://127.0.0.1:${peerPort}`))
  const apiServer = await run(
    'kube-apiserver',
    await apiServerArguments({ ...options, folder, authority, address, port, etcdUrl }),
  )
  const kubeconfig = await kubeconfigFor('temper-test-admin', ['system:masters'])
  await untilReady(apiServer, readyMilliseconds, () => answers(`${url}/readyz`, authority))
  if (controllers !== 'none') {
    const config = await kubeconfigFor('system:kube-controller-manager')
    await run('kube-controller-manager', controllerArguments(folder, authority, config, controllers))
  }
  if (scheduler) {
    const config = await kubeconfigFor('system:kube-scheduler')
    await run('kube-scheduler', [`--kubeconfig=${config}`, '--leader-elect=false', '--secure-port=0'])
  }
  return { url, address, folder, authority, kubeconfig, kubeconfigFor, servers, stop }
}

function etcdArguments(data: string, url: string, peerUrl: string): string[] {
  return [
    ...['--data-dir', data, '--listen-client-urls', url, '--advertise-client-urls', url],
    ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
    ...['--initial-cluster', `default=${peerUrl}`, '--log-level', 'warn'],
    // The data is thrown away with the cluster: nobody needs it after a power failure.
    '--unsafe-no-fsync',
  ]
}

interface ApiServerSettings extends ControlPlaneOptions {
  folder: string
  authority: Authority
  address: string
  port: number | undefined
  etcdUrl: string
}

async function apiServerArguments(settings: ApiServerSettings): Promise<string[]> {
  const { folder, authority, address, port, etcdUrl, serviceRange = '10.96.0.0/24' } = settings
  const serving = await authority.issue('kube-apiserver', {
    commonName: 'kube-apiserver',
    addresses: [...new Set([address, '127.0.0.1', firstAddress(serviceRange)])],
    names: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'],
  })
  // What the API server itself shows to kubelets and, as the front proxy, to aggregated APIs.
  const client = await authority.issue('kube-apiserver-client', {
    commonName: 'kube-apiserver',
    organizations: ['system:masters'],
  })
  const serviceAccounts = await writeServiceAccountKey(folder)
  return [
    ...[`--etcd-servers=${etcdUrl}`, `--bind-address=${address}`, `--secure-port=${port}`],
    ...[`--advertise-address=${address}`, `--service-cluster-ip-range=${serviceRange}`],
    // A loopback address is refused as the address of a service.
    ...(address.startsWith('127.') ? ['--endpoint-reconciler-type=none'] : []),
    ...[`--tls-cert-file=${serving.certFile}`, `--tls-private-key-file=${serving.keyFile}`],
    ...[`--cert-dir=${join(folder, 'certificates')}`, `--client-ca-file=${authority.certFile}`],
    ...[
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged=true',
    ],
    // Without controllers nobody makes the default service account of a namespace, and no pod would be admitted.
    ...(settings.controllers === 'all' ? [] : ['--disable-admission-plugins=ServiceAccount']),
    ...[
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${serviceAccounts}`,
    ],
    `--service-account-signing-key-file=${serviceAccounts}`,
    ...[`--kubelet-client-certificate=${client.certFile}`, `--kubelet-client-key=${client.keyFile}`],
    // A node's name is known to this cluster alone; its address is enough.
    '--kubelet-preferred-address-types=InternalIP',
    ...[`--proxy-client-cert-file=${client.certFile}`, `--proxy-client-key-file=${client.keyFile}`],
    ...[
      `--requestheader-client-ca-file=${authority.certFile}`,
      '--requestheader-allowed-names=kube-apiserver',
    ],
    ...['--requestheader-username-headers=X-Remote-User', '--requestheader-group-headers=X-Remote-Group'],
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    // Services lead to pods' own addresses: the API server has no kube-proxy at its side. Without pods, to names.
    `--enable-aggregator-routing=${!address.startsWith('127.')}`,
    ...['--profiling=false', '--shutdown-delay-duration=0s'],
  ]
}

function controllerArguments(
  folder: string,
  authority: Authority,
  kubeconfig: string,
  controllers: 'all' | readonly string[],
): string[] {
  return [
    ...[`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--use-service-account-credentials=true'],
    ...[
      `--service-account-private-key-file=${join(folder, serviceAccountKey)}`,
      `--root-ca-file=${authority.certFile}`,
    ],
    ...[
      `--cluster-signing-cert-file=${authority.certFile}`,
      `--cluster-signing-key-file=${authority.keyFile}`,
    ],
    `--controllers=${controllers === 'all' ? '*' : controllers.join(',')}`,
    // Its usual place lies outside of the cluster's folder.
    `--flex-volume-plugin-dir=${join(folder, 'volume-plugins')}`,
    ...['--secure-port=0', '--profiling=false'],
  ]
}

const serviceAccountKey = 'service-accounts.key'

async function writeServiceAccountKey(folder: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const file = join(folder, serviceAccountKey)
  await writeFile(file, privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 })
  return file
}

/** JSON, which is YAML too. */
async function writeKubeconfig(url: string, authority: Authority, certificate: Certificate): Promise<string> {
  const file = certificate.certFile.replace(/crt$/, 'kubeconfig')
  const inline = async (path: string) => (await readFile(path)).toString('base64')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'test',
        cluster: { server: url, 'certificate-authority-data': await inline(authority.certFile) },
      },
    ],
    users: [
      {
        name: 'user',
        user: {
          'client-certificate-data': await inline(certificate.certFile),
          'client-key-data': await inline(certificate.keyFile),
        },
      },
    ],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'user' } }],
    'current-context': 'test',
  }
  await writeFile(file, JSON.stringify(config, null, 2), { mode: 0o600 })
  return file
}

/** The API server answers its health to everybody. */
async function answers(url: string, authority: Authority): Promise<boolean> {
  const ca = await readFile(authority.certFile)
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const call = request(url, { ca, agent: false }, (response) => {
    response.resume()
    resolve(response.statusCode === 200)
  })
  call.on('error', reject).end()
  return promise
}

/** The first address of a range, which Kubernetes gives to the API server's own service. */
function firstAddress(range: string): string {
  const [network = ''] = range.split('/')
  return network.replace(/\d+$/, (last) => String(Number(last) + 1))
}
