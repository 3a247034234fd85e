import { CoreV1Api, DiscoveryV1Api, KubeConfig } from '@kubernetes/client-node'
import type { ControlPlane } from './control-plane.ts'

interface HostService {
  namespace: string
  name: string
  /** A fixed address of the service range, where clients know no name. */
  clusterIP?: string
  ports: readonly { name: string; port: number; protocol: 'TCP' | 'UDP'; targetPort?: number }[]
}

/** A service that leads to a server of this machine instead of to pods. The server listens on the control plane's address. */
export async function serveFromHere(plane: ControlPlane, service: HostService): Promise<void> {
  const config = new KubeConfig()
  config.loadFromFile(plane.kubeconfig)
  const core = config.makeApiClient(CoreV1Api)
  const { namespace, name, clusterIP } = service
  const metadata = { name }
  const ports = service.ports.map(({ name, port, protocol }) => ({ name, port, protocol }))
  if (plane.address.startsWith('127.')) {
    // A loopback address is refused as an endpoint; a name is not.
    const spec = { type: 'ExternalName', externalName: 'localhost', ports }
    await core.createNamespacedService({ namespace, body: { metadata, spec } })
    return
  }
  await core.createNamespacedService({
    namespace,
    body: { metadata, spec: { ports, ...(clusterIP !== undefined && { clusterIP }) } },
  })
  await config.makeApiClient(DiscoveryV1Api).createNamespacedEndpointSlice({
    namespace,
    body: {
      metadata: { name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [plane.address], conditions: { ready: true } }],
      ports: service.ports.map(({ name, port, targetPort = port, protocol }) => ({
        name,
        port: targetPort,
        protocol,
      })),
    },
  })
}
