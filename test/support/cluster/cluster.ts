import { type ControlPlane, startControlPlane } from './control-plane.ts'
import { startDns } from './dns.ts'
import type { Image } from '../../../scripts/image/oci-image.ts'
import { type ClusterNetwork, createNetwork } from './network.ts'
import { type ClusterNode, type NodeOptions, startNode } from './node.ts'

export interface Cluster extends ControlPlane {
  network: ClusterNetwork
  nodes: readonly ClusterNode[]
  /** Brings an image to every node. */
  importImage(image: Image): Promise<void>
}

/** A whole cluster: control plane, scheduler and nodes that run pods; with `dns`, services have names in pods. `stop` leaves nothing of it on the machine. */
export async function startCluster(
  nodes: readonly Omit<NodeOptions, 'number'>[],
  options: { dns?: boolean } = {},
): Promise<Cluster> {
  const cleanups: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup()
  }
  try {
    const network = await createNetwork()
    cleanups.push(network.remove)
    const plane = await startControlPlane({
      address: network.hostAddress,
      serviceRange: network.serviceRange,
      controllers: 'all',
      scheduler: true,
    })
    cleanups.push(plane.stop)
    if (options.dns) cleanups.push((await startDns(plane, network)).stop)
    const started = await Promise.allSettled(
      nodes.map((options, index) => startNode(plane, network, { ...options, number: index + 1 })),
    )
    const running = started.filter((result) => result.status === 'fulfilled').map(({ value }) => value)
    cleanups.push(async () => {
      await Promise.all(running.map((node) => node.stop()))
    })
    for (const result of started) if (result.status === 'rejected') throw result.reason
    const importImage = async (image: Image) => {
      await Promise.all(running.map((node) => node.importImage(image)))
    }
    return { ...plane, network, nodes: running, importImage, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
