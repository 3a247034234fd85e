import { containerdSocket } from './containerd.ts'

export interface KubeletSettings {
  name: string
  folder: string
  address: string
  controlGroup: string
  authorityFile: string
  dnsAddress: string
  /** What the node keeps for itself, so that two nodes of one machine do not offer its memory twice. */
  reservedMemory: string | undefined
}

export function kubeletArguments(settings: KubeletSettings, config: string, kubeconfig: string): string[] {
  return [
    ...[`--config=${config}`, `--kubeconfig=${kubeconfig}`],
    ...[`--hostname-override=${settings.name}`, `--node-ip=${settings.address}`],
  ]
}

export function kubeletConfig(settings: KubeletSettings): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: settings.authorityFile },
    },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${settings.controlGroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    // Lowering its own score takes a right that root may lack here.
    oomScoreAdj: 0,
    clusterDNS: [settings.dnsAddress],
    clusterDomain,
    resolvConf: `${settings.folder}/resolv.conf`,
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    // The machine's disk is not this node's: neither pods nor the images of the test may go when it is full for others.
    evictionHard: { 'memory.available': '100Mi' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    ...(settings.reservedMemory && { systemReserved: { memory: settings.reservedMemory } }),
    shutdownGracePeriod: '0s',
  })
}

export const clusterDomain = 'cluster.local'
export const proxyHealthPort = 10256

export function kubeProxyConfig(name: string, podRange: string, kubeconfig: string): string {
  return JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig },
    hostnameOverride: name,
    mode: 'iptables',
    clusterCIDR: podRange,
    // Asked for its health by the test.
    healthzBindAddress: `0.0.0.0:${proxyHealthPort}`,
    // These settings belong to the whole machine and are read-only in a node.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  })
}
