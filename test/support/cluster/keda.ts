import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ApiregistrationV1Api, KubeConfig } from '@kubernetes/client-node'
import { kedaManifests, program } from './binaries.ts'
import type { ControlPlane } from './control-plane.ts'
import { freePorts } from './free-ports.ts'
import { kubectl } from './kubectl.ts'
import { clusterDomain } from './kubelet.ts'
import type { Machine } from './machine.ts'
import { serveFromHere } from './host-service.ts'
import { type ServerProcess, startServer, untilReady } from './server-process.ts'

export interface Keda {
  servers: readonly ServerProcess[]
  stop(): Promise<void>
}

const namespace = 'keda'
/** Both programs act as this account, so that KEDA's own roles decide what they may do. */
const account = `system:serviceaccount:${namespace}:keda-operator`
/** The name under which the API server asks the adapter for metrics. */
const adapterService = 'keda-metrics-apiserver'
const readyMilliseconds = 120_000
/** What KEDA's own installation applies, without the deployments. */
const manifests = [
  ...['crd/bases', 'general/namespace.yaml', 'service_account/service_account.yaml'],
  ...[
    'rbac/role.yaml',
    'rbac/role_binding.yaml',
    'metrics-server/role.yaml',
    'metrics-server/role_binding.yaml',
  ],
]

/** Where the operator runs as a pod would: it reaches services by their names. */
interface KedaPlace {
  machine: Machine
  address: string
  dnsAddress: string
}

/**
 * KEDA's operator and metrics adapter as processes of this machine, serving the cluster as they would from pods. With `place`, the
 * operator runs in a node's namespaces.
 */
export async function startKeda(plane: ControlPlane, place?: KedaPlace): Promise<Keda> {
  const servers: ServerProcess[] = []
  const stop = async () => {
    for (const server of servers.toReversed()) await server.stop()
  }
  try {
    const config = await kedaManifests()
    for (const manifest of manifests) {
      await kubectl(plane, ['apply', '--server-side', '-f', join(config, manifest)])
    }
    await start(plane, servers, place)
    return { servers, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function start(
  plane: ControlPlane,
  servers: ServerProcess[],
  place: KedaPlace | undefined,
): Promise<void> {
  const host = place?.address ?? '127.0.0.1'
  const certificates = await writeCertificates(plane, host)
  if (place) await useClusterNames(plane, place)
  const kubeconfig = await plane.kubeconfigFor(account)
  const environment = {
    KUBECONFIG: kubeconfig,
    WATCH_NAMESPACE: '',
    POD_NAMESPACE: namespace,
    KEDA_CLUSTER_OBJECT_NAMESPACE: namespace,
  }
  const [metricsPort, healthPort, adapterMetricsPort] = await freePorts(3)
  const [adapterPort] = await freePorts(1, plane.address)
  const run = async (name: 'keda-operator' | 'keda-adapter', args: readonly string[], inside?: Machine) => {
    const options = { log: join(plane.folder, 'logs', `${name}.log`), environment }
    const path = await program(name)
    const server = await (inside?.start(name, path, args, options) ?? startServer(name, path, args, options))
    servers.push(server)
    return server
  }
  const operatorArguments = [
    ...[`--cert-dir=${certificates}`, '--zap-log-level=info', '--zap-encoder=console'],
    ...['--metrics-bind-address=0', `--health-probe-bind-address=${host}:${healthPort}`],
    `--metrics-service-bind-address=${host}:${metricsPort}`,
  ]
  const operator = await run('keda-operator', operatorArguments, place?.machine)
  await untilReady(operator, readyMilliseconds, async () => {
    return (await fetch(`http://${host}:${healthPort}/readyz`)).ok
  })
  const adapter = await run('keda-adapter', [
    ...[`--bind-address=${plane.address}`, `--secure-port=${adapterPort}`, `--cert-dir=${certificates}`],
    ...[
      `--tls-cert-file=${join(certificates, 'tls.crt')}`,
      `--tls-private-key-file=${join(certificates, 'tls.key')}`,
    ],
    `--client-ca-file=${join(certificates, 'ca.crt')}`,
    ...[
      `--lister-kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
    ],
    ...[`--metrics-service-address=${host}:${metricsPort}`, `--port=${adapterMetricsPort}`],
  ])
  await registerAdapter(plane, adapterPort ?? 0, adapter)
}

/** As a pod's resolver does. */
async function useClusterNames(plane: ControlPlane, { machine, dnsAddress }: KedaPlace): Promise<void> {
  const file = join(plane.folder, 'keda-resolv.conf')
  await writeFile(
    file,
    `nameserver ${dnsAddress}\nsearch svc.${clusterDomain} ${clusterDomain}\noptions ndots:5\n`,
  )
  await machine.run('mount', '--bind', file, '/etc/resolv.conf')
}

/** What KEDA would make for itself: one certificate with which operator and adapter know each other, and the API server the adapter. */
async function writeCertificates(plane: ControlPlane, host: string): Promise<string> {
  const folder = join(plane.folder, 'keda-certificates')
  await mkdir(folder)
  const { certFile, keyFile } = await plane.authority.issue('keda', {
    commonName: 'keda',
    addresses: [host],
    names: ['keda-operator', `${adapterService}.${namespace}.svc`],
  })
  await copyFile(plane.authority.certFile, join(folder, 'ca.crt'))
  await copyFile(certFile, join(folder, 'tls.crt'))
  await copyFile(keyFile, join(folder, 'tls.key'))
  return folder
}

/** Tells the API server that the external metrics are the adapter's, and waits until it has found it. */
async function registerAdapter(plane: ControlPlane, port: number, adapter: ServerProcess): Promise<void> {
  const config = new KubeConfig()
  config.loadFromFile(plane.kubeconfig)
  await serveFromHere(plane, {
    namespace,
    name: adapterService,
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  })
  const registrations = config.makeApiClient(ApiregistrationV1Api)
  const name = 'v1beta1.external.metrics.k8s.io'
  await registrations.createAPIService({
    body: {
      metadata: { name },
      spec: {
        group: 'external.metrics.k8s.io',
        version: 'v1beta1',
        groupPriorityMinimum: 100,
        versionPriority: 100,
        service: { name: adapterService, namespace, port },
        caBundle: (await readFile(plane.authority.certFile)).toString('base64'),
      },
    },
  })
  await untilReady(adapter, readyMilliseconds, async () => {
    const { status } = await registrations.readAPIService({ name })
    const available = status?.conditions?.find(({ type }) => type === 'Available')
    if (available?.status !== 'True') throw new Error(available?.message ?? 'not registered yet')
    return true
  })
}
