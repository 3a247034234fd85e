import { randomInt } from 'node:crypto'
import { runCommand } from '../../../src/local/run-command.ts'
import { bridgePrefix, linkOwner } from './leftovers.ts'
import type { Machine } from './machine.ts'

/** One cluster's network: a bridge of this machine that joins it with its nodes, each with a range of addresses for its pods. */
export interface ClusterNetwork {
  /** Unique on this machine while the cluster lives; names of links and control groups begin with it. */
  id: string
  /** This machine's address for nodes and pods: servers that a test starts must listen on it to be reached from a pod. */
  hostAddress: string
  serviceRange: string
  /** The service that answers cluster names, where there is one. */
  dnsAddress: string
  /** All pods. */
  podRange: string
  podRangeOf(node: number): string
  addressOf(node: number): string
  join(machine: Machine, node: number): Promise<void>
  /** A node's cable: pulled out, nothing gets in or out, and what runs there goes on. */
  setLink(node: number, state: 'up' | 'down'): Promise<void>
  remove(): Promise<void>
}

/** Nodes are numbered from 1; each has a /24 of 10.X.0.0/16 for its pods, 0 is the nodes' own. */
const maxNodes = 9
const firstNodeAddress = 10
/** The network is chosen by chance; another test's cluster may have the same. */
const maxAttempts = 20

export async function createNetwork(): Promise<ClusterNetwork> {
  for (let attempt = 1; ; attempt++) {
    const block = randomInt(64, 128)
    const bridge = `${bridgePrefix}${block}`
    try {
      // Two links of one name can't be: who makes it owns the block.
      await ip('link', 'add', bridge, 'type', 'bridge')
      await ip('link', 'set', 'dev', bridge, 'alias', linkOwner())
    } catch (error) {
      if (attempt === maxAttempts) throw error
      continue
    }
    const network = networkOf(bridge, block)
    try {
      await ip('addr', 'add', `${network.hostAddress}/24`, 'dev', bridge)
      await ip('link', 'set', bridge, 'up')
      for (let node = 1; node <= maxNodes; node++) {
        await ip('route', 'add', network.podRangeOf(node), 'via', network.addressOf(node), 'dev', bridge)
      }
      return network
    } catch (error) {
      await network.remove()
      if (attempt === maxAttempts) throw error
    }
  }
}

function networkOf(bridge: string, block: number): ClusterNetwork {
  const hostAddress = `10.${block}.0.1`
  const addressOf = (node: number) => `10.${block}.0.${firstNodeAddress + node}`
  const podRangeOf = (node: number) => `10.${block}.${node}.0/24`
  const link = (node: number) => `${bridge}-n${node}`
  return {
    id: bridge,
    hostAddress,
    serviceRange: `10.${block}.240.0/24`,
    dnsAddress: `10.${block}.240.10`,
    podRange: `10.${block}.0.0/17`,
    podRangeOf,
    addressOf,
    join: async (machine, node) => {
      if (node < 1 || node > maxNodes) throw new Error(`a cluster has nodes 1 to ${maxNodes}`)
      await ip(
        ...['link', 'add', link(node), 'type', 'veth'],
        ...['peer', 'name', 'eth0', 'netns', String(machine.init.pid)],
      )
      await ip('link', 'set', link(node), 'master', bridge, 'up')
      await machine.run('ip', 'addr', 'add', `${addressOf(node)}/24`, 'dev', 'eth0')
      await machine.run('ip', 'link', 'set', 'eth0', 'up')
      await machine.run('ip', 'route', 'add', 'default', 'via', hostAddress)
      for (let other = 1; other <= maxNodes; other++) {
        if (other !== node)
          await machine.run('ip', 'route', 'add', podRangeOf(other), 'via', addressOf(other))
      }
      await machine.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
    },
    setLink: (node, state) => ip('link', 'set', link(node), state),
    // The nodes' links go with their machines, the routes with the bridge.
    remove: () => ip('link', 'del', bridge),
  }
}

async function ip(...args: string[]): Promise<void> {
  await runCommand('ip', args, { timeoutMilliseconds: 60_000 })
}
