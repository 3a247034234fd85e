import { writeFile } from 'node:fs/promises'
import { Resolver } from 'node:dns/promises'
import { join } from 'node:path'
import { program } from './binaries.ts'
import type { ControlPlane } from './control-plane.ts'
import { freePorts } from './free-ports.ts'
import { serveFromHere } from './host-service.ts'
import { clusterDomain } from './kubelet.ts'
import type { ClusterNetwork } from './network.ts'
import { type ServerProcess, startServer, untilReady } from './server-process.ts'

const readyMilliseconds = 60_000
const dnsPort = 53

/** Names of services, answered by CoreDNS as a process of this machine behind the usual service. Other names it does not know. */
export async function startDns(plane: ControlPlane, network: ClusterNetwork): Promise<ServerProcess> {
  const [port = 0] = await freePorts(1, plane.address)
  const kubeconfig = await plane.kubeconfigFor('temper-test-dns', ['system:masters'])
  const file = join(plane.folder, 'Corefile')
  await writeFile(
    file,
    `.:${port} {\n  bind ${plane.address}\n  errors\n  kubernetes ${clusterDomain} {\n    kubeconfig ${kubeconfig}\n  }\n}\n`,
  )
  const server = await startServer('coredns', await program('coredns'), ['-conf', file, '-quiet'], {
    log: join(plane.folder, 'logs', 'coredns.log'),
  })
  try {
    await serveFromHere(plane, {
      namespace: 'kube-system',
      name: 'kube-dns',
      clusterIP: network.dnsAddress,
      ports: [
        { name: 'dns', port: dnsPort, targetPort: port, protocol: 'UDP' },
        { name: 'dns-tcp', port: dnsPort, targetPort: port, protocol: 'TCP' },
      ],
    })
    const resolver = new Resolver({ timeout: 1_000, tries: 1 })
    resolver.setServers([`${plane.address}:${port}`])
    const name = `kubernetes.default.svc.${clusterDomain}`
    await untilReady(server, readyMilliseconds, async () => (await resolver.resolve4(name)).length > 0)
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}
