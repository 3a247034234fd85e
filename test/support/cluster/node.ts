import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { pauseImage } from './pause-image.ts'
import { nodeTools, program } from './binaries.ts'
import { containerdConfig, ctr, networkConfig, snapshotter } from './containerd.ts'
import { createControlGroup, removeControlGroup } from './control-groups.ts'
import type { ControlPlane } from './control-plane.ts'
import { type DevicePlugin, createDevicePlugin } from './device-plugin.ts'
import type { Image } from '../../../scripts/image/oci-image.ts'
import {
  type KubeletSettings,
  kubeProxyConfig,
  kubeletArguments,
  kubeletConfig,
  proxyHealthPort,
} from './kubelet.ts'
import { type Machine, startMachine } from './machine.ts'
import type { ClusterNetwork } from './network.ts'
import { type ServerProcess, untilReady } from './server-process.ts'

export interface NodeOptions {
  /** From 1; the node's address and its pods' addresses follow from it. */
  number: number
  name?: string
  labels?: Record<string, string>
  /** Pretended GPUs: the scheduler and the kubelet count them and hand them out, no device is behind them. */
  gpus?: number
  /** Of the machine's memory, what this node does not offer to pods ("20Gi"). */
  reservedMemory?: string
}

export interface ClusterNode {
  name: string
  machine: Machine
  /** A restored node has a new kubelet. */
  servers(): readonly ServerProcess[]
  importImage(image: Image): Promise<void>
  /** A GPU that fails, or is well again: the node offers one less, or one more. Numbered from 0. */
  setGpuHealth(gpu: number, healthy: boolean): void
  /** The node is lost as in a power or network failure, except that its containers go on: nobody outside sees or reaches them. */
  lose(): Promise<void>
  /** The cable is in again and the kubelet runs: it learns what was decided without it. */
  restore(): Promise<void>
  stop(): Promise<void>
}

const readyMilliseconds = 180_000
const gpuResource = 'nvidia.com/gpu'

/** A node with a kubelet, a containerd and a kube-proxy of its own. Returns when the node is ready for pods. */
export async function startNode(
  plane: ControlPlane,
  network: ClusterNetwork,
  options: NodeOptions,
): Promise<ClusterNode> {
  const name = options.name ?? `node-${options.number}`
  const folder = join(plane.folder, name)
  const controlGroup = `${network.id}-${name}`
  await mkdir(join(folder, 'cni'), { recursive: true })
  const machine = await startMachine(name, folder)
  const gpus = Array.from({ length: options.gpus ?? 0 }, (_, index) => gpuName(name, index))
  const plugin = createDevicePlugin({
    folder: join(folder, 'var', 'lib', 'kubelet', 'device-plugins'),
    resource: gpuResource,
    devices: gpus,
    environmentOf: (devices) => ({ NVIDIA_VISIBLE_DEVICES: devices.join(',') }),
  })
  const stop = async () => {
    await plugin.stop()
    await machine.stop()
    await removeControlGroup(controlGroup)
  }
  try {
    await network.join(machine, options.number)
    await createControlGroup(controlGroup)
    const settings: KubeletSettings = {
      name,
      folder,
      address: network.addressOf(options.number),
      controlGroup,
      authorityFile: plane.authority.certFile,
      dnsAddress: network.dnsAddress,
      reservedMemory: options.reservedMemory,
    }
    const servers = await startServers(plane, network, machine, settings, options, plugin)
    return {
      ...servers,
      name,
      machine,
      setGpuHealth: (gpu, healthy) => plugin.setHealth(gpuName(name, gpu), healthy),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startServers(
  plane: ControlPlane,
  network: ClusterNetwork,
  machine: Machine,
  settings: KubeletSettings,
  options: NodeOptions,
  plugin: DevicePlugin,
): Promise<Pick<ClusterNode, 'servers' | 'importImage' | 'lose' | 'restore'>> {
  const { name, folder } = settings
  const tools = await nodeTools()
  const start = async (server: string, path: string, args: readonly string[]) => {
    const log = join(plane.folder, 'logs', `${name}-${server}.log`)
    return machine.start(server, path, args, { log, environment: tools.environment })
  }
  await writeFile(join(folder, 'cni', '10-pods.conflist'), networkConfig(network.podRangeOf(options.number)))
  await writeFile(join(folder, 'containerd.toml'), containerdConfig(folder, tools.cniPlugins))
  const containerd = await start('containerd', 'containerd', ['--config', join(folder, 'containerd.toml')])
  const importImage = (image: Image) =>
    ctr(machine, ['images', 'import', '--snapshotter', snapshotter, '-'], image.folder)
  await untilReady(containerd, readyMilliseconds, async () => {
    await ctr(machine, ['version'])
    return true
  })
  await importImage(await pauseImage(join(folder, 'pause')))

  const kubeconfig = await plane.kubeconfigFor(`system:node:${name}`, ['system:nodes'])
  await writeFile(join(folder, 'kubelet.json'), kubeletConfig(settings))
  await writeFile(join(folder, 'resolv.conf'), '')
  const kubeletPath = await program('kubelet')
  const labels = Object.entries(options.labels ?? {}).map(([key, value]) => `${key}=${value}`)
  const startKubelet = () =>
    start('kubelet', kubeletPath, [
      ...kubeletArguments(settings, join(folder, 'kubelet.json'), kubeconfig),
      ...(labels.length > 0 ? [`--node-labels=${labels.join(',')}`] : []),
    ])
  const proxyConfig = join(folder, 'kube-proxy.json')
  const proxyUser = await plane.kubeconfigFor('system:kube-proxy')
  await writeFile(proxyConfig, kubeProxyConfig(name, network.podRange, proxyUser))
  const proxy = await start('kube-proxy', await program('kube-proxy'), ['--config', proxyConfig])
  let kubelet = await startKubelet()
  const core = coreApi(plane)
  const ready = async (since: Date) => {
    const { gpus = 0 } = options
    if (gpus > 0) await plugin.offer()
    await untilReady(kubelet, readyMilliseconds, () => isReady(core, name, gpus, since))
  }
  await ready(new Date(0))
  const proxyHealth = `http://${settings.address}:${proxyHealthPort}/healthz`
  await untilReady(proxy, readyMilliseconds, async () => (await fetch(proxyHealth)).ok)
  return {
    servers: () => [containerd, proxy, kubelet],
    importImage,
    lose: async () => {
      await network.setLink(options.number, 'down')
      await kubelet.stop('SIGKILL')
    },
    restore: async () => {
      // What the API server says of the node may be from before it was lost. Its times are whole seconds.
      const since = new Date(Math.floor(Date.now() / 1000) * 1000)
      await network.setLink(options.number, 'up')
      kubelet = await startKubelet()
      await ready(since)
    },
  }
}

function coreApi(plane: ControlPlane): CoreV1Api {
  const config = new KubeConfig()
  config.loadFromFile(plane.kubeconfig)
  return config.makeApiClient(CoreV1Api)
}

/** The way NVIDIA's plugin names devices. */
function gpuName(node: string, index: number): string {
  return `GPU-${node}-${index}`
}

async function isReady(core: CoreV1Api, name: string, gpus: number, since: Date): Promise<boolean> {
  const { status } = await core.readNode({ name })
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  const offered = Number(status?.allocatable?.[gpuResource] ?? 0)
  const isNews = ready?.lastHeartbeatTime !== undefined && ready.lastHeartbeatTime >= since
  return ready?.status === 'True' && isNews && offered >= gpus
}
