import { runCommand } from '../../../src/local/run-command.ts'
import { nodeTools } from './binaries.ts'
import type { Machine } from './machine.ts'

/** The image of a pod's sandbox, imported under this name. */
export const pauseReference = 'temper.test/pause:1'

/** Everything is at its usual place, which the node has for itself; only the plugins come from the cache of tools. */
export function containerdConfig(folder: string, cniPlugins: string): string {
  return `version = 2
# Lowering its own score takes a right (CAP_SYS_RESOURCE) that root in a container or a small virtual machine lacks.
oom_score = 0
disabled_plugins = ['io.containerd.snapshotter.v1.aufs', 'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.internal.v1.tracing', 'io.containerd.tracing.processor.v1.otlp']
[grpc]
address = '${containerdSocket}'
[plugins.'io.containerd.internal.v1.opt']
path = '/var/lib/containerd/opt'
[plugins.'io.containerd.grpc.v1.cri']
sandbox_image = '${pauseReference}'
# Without it every sandbox fails where that right is lacking: "can't get final child's PID from pipe: EOF".
restrict_oom_score_adj = true
stream_server_address = '127.0.0.1'
stream_server_port = '0'
[plugins.'io.containerd.grpc.v1.cri'.containerd]
snapshotter = '${snapshotter}'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins.'io.containerd.grpc.v1.cri'.cni]
bin_dir = '${cniPlugins}'
conf_dir = '${folder}/cni'
`
}

/** Inside the node's own /run: the path of a Unix socket has room for 107 characters. */
export const containerdSocket = '/run/containerd/containerd.sock'
export const snapshotter = 'overlayfs'

/** Pods get addresses of the node's range and reach other nodes and the test's servers by ordinary routes, unmasked. */
export function networkConfig(podRange: string): string {
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: podRange }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  })
}

const ctrMilliseconds = 10 * 60_000

/** Runs containerd's own client in the node. `input` is a folder that it reads as a tar stream: no archive is written. */
export async function ctr(machine: Machine, args: readonly string[], input?: string): Promise<void> {
  const { environment } = await nodeTools()
  const client = [
    ...['nsenter', '--target', String(machine.init.pid), '--mount', '--pid', '--'],
    ...['ctr', '--address', containerdSocket, '--namespace', 'k8s.io', ...args],
  ] as const
  const [command, ...words] =
    input === undefined ? client : ['sh', '-c', 'tar --create --directory "$0" . | "$@"', input, ...client]
  await runCommand(command, words, { environment, timeoutMilliseconds: ctrMilliseconds })
}
