import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { runCommand } from '../../../src/local/run-command.ts'
import { debianMissing, unpackDebianPackages } from './debian-tools.ts'
import { type GoModule, buildGoPrograms, goMissing, goModuleFolder } from './go-tools.ts'
import { corednsSource, pauseSource } from './go-sources.ts'
import { cachedFolder, isThere } from './tool-cache.ts'

const kubernetes: GoModule = {
  module: 'k8s.io/kubernetes',
  version: 'v1.34.2',
  stagingVersion: 'v0.34.2',
  // Charts ask for the version, and kubelets compare theirs with the API server's.
  variables: {
    'k8s.io/component-base/version.gitVersion': 'v1.34.2',
    'k8s.io/component-base/version.gitMajor': '1',
    'k8s.io/component-base/version.gitMinor': '34',
  },
  programs: {
    'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
    'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
    'kube-scheduler': 'k8s.io/kubernetes/cmd/kube-scheduler',
    'kube-proxy': 'k8s.io/kubernetes/cmd/kube-proxy',
    kubelet: 'k8s.io/kubernetes/cmd/kubelet',
    kubectl: 'k8s.io/kubernetes/cmd/kubectl',
  },
}
/** The version that Kubernetes 1.34 is released with; Debian's 3.4 lacks the progress notices its watch cache wants. */
const etcd: GoModule = {
  module: 'go.etcd.io/etcd/server/v3',
  version: 'v3.6.16',
  programs: { etcd: 'go.etcd.io/etcd/server/v3' },
}
const helm: GoModule = {
  module: 'helm.sh/helm/v3',
  version: 'v3.22.0',
  programs: { helm: 'helm.sh/helm/v3/cmd/helm' },
  // What helm takes for the cluster's version where it does not ask one (`helm template`, `helm lint`).
  variables: {
    'helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor': '1',
    'helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor': '34',
  },
}
const keda: GoModule = {
  module: 'github.com/kedacore/keda/v2',
  version: 'v2.21.0',
  programs: {
    'keda-operator': 'github.com/kedacore/keda/v2/cmd/operator',
    'keda-adapter': 'github.com/kedacore/keda/v2/cmd/adapter',
  },
}
const coredns: GoModule = {
  module: 'github.com/coredns/coredns',
  version: 'v1.15.0',
  programs: { coredns: '.' },
  source: corednsSource,
}
const modules = [kubernetes, etcd, helm, keda, coredns]

/** What a node runs beside the kubelet, and the libraries that a slim Debian may lack. */
const nodePackages = [
  ...['containerd', 'runc', 'libseccomp2', 'containernetworking-plugins', 'iptables'],
  ...[
    'libip4tc2',
    'libip6tc2',
    'libxtables12',
    'libmnl0',
    'libnetfilter-conntrack3',
    'libnfnetlink0',
    'libnftnl11',
  ],
]

export type Program =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kube-proxy'
  | 'kubelet'
  | 'kubectl'
  | 'coredns'
  | 'helm'
  | 'keda-operator'
  | 'keda-adapter'
  | 'pause'

/**
 * The path of a program: KUBEBUILDER_ASSETS (the convention by which a test takes what is there), then this user's cache,
 * else built once from its Go module at a fixed version.
 */
export async function program(name: Program): Promise<string> {
  const given = await givenProgram(name)
  if (given !== undefined) return given
  if (name === 'pause') return join(await cachedFolder('pause-1', buildPause), name)
  const from = modules.find(({ programs }) => name in programs)
  if (from === undefined) throw new Error(`no module has ${name}`)
  const folder = await cachedFolder(`${name}-${from.version}`, (fresh) =>
    buildGoPrograms(from, [name], fresh),
  )
  return join(folder, name)
}

async function givenProgram(name: Program): Promise<string | undefined> {
  const assets = process.env['KUBEBUILDER_ASSETS']
  if (!assets) return undefined
  const path = join(assets, name)
  return (await isThere(path)) ? path : undefined
}

/** KEDA's resource definitions and roles, as its module holds them. */
export async function kedaManifests(): Promise<string> {
  // A copy: Go's own cache may be emptied at any time.
  return cachedFolder(`keda-config-${keda.version}`, async (folder) =>
    cp(join(await goModuleFolder(keda), 'config'), folder, { recursive: true }),
  )
}

/** containerd, runc, the CNI plugins and iptables, with the environment in which they find each other. */
interface NodeTools {
  environment: Record<'PATH' | 'LD_LIBRARY_PATH' | 'XTABLES_LIBDIR', string>
  cniPlugins: string
}

export async function nodeTools(): Promise<NodeTools> {
  const folder = await cachedFolder(`node-${await debianVersion()}`, fillNodeTools)
  const usr = join(folder, 'usr')
  const architecture = (await readdir(join(usr, 'lib'))).find((name) => name.endsWith('-linux-gnu'))
  if (architecture === undefined) throw new Error(`${folder} holds no libraries`)
  const libraries = join(usr, 'lib', architecture)
  const path = [join(folder, 'bin'), join(usr, 'bin'), join(usr, 'sbin'), process.env['PATH'] ?? ''].join(':')
  return {
    environment: { PATH: path, LD_LIBRARY_PATH: libraries, XTABLES_LIBDIR: join(libraries, 'xtables') },
    cniPlugins: join(usr, 'lib', 'cni'),
  }
}

async function fillNodeTools(folder: string): Promise<void> {
  await unpackDebianPackages(nodePackages, folder)
  // Debian makes these names when it installs the package; the program looks at the name it is called by.
  await mkdir(join(folder, 'bin'))
  for (const name of ['iptables', 'ip6tables']) {
    for (const suffix of ['', '-save', '-restore']) {
      await symlink('../usr/sbin/xtables-nft-multi', join(folder, 'bin', `${name}${suffix}`))
    }
  }
}

async function debianVersion(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return /^VERSION_CODENAME="?([\w.-]+)/m.exec(release)?.[1] ?? 'debian'
}

async function buildPause(folder: string): Promise<void> {
  const workspace = await mkdtemp(join(tmpdir(), 'temper-pause-'))
  try {
    await writeFile(join(workspace, 'main.go'), pauseSource)
    await runCommand(
      'go',
      ['build', '-ldflags', '-s -w', '-o', join(folder, 'pause'), join(workspace, 'main.go')],
      {
        timeoutMilliseconds: 10 * 60_000,
        environment: { CGO_ENABLED: '0', GOWORK: 'off' },
      },
    )
  } finally {
    await rm(workspace, { recursive: true, force: true })
  }
}

/** Why an API server can't run here, or undefined. */
export async function controlPlaneMissing(): Promise<string | undefined> {
  return (await commandMissing('openssl')) ?? (await programsMissing(['etcd', 'kube-apiserver']))
}

/** Why nodes that run pods can't be had here, or undefined. */
export async function nodesMissing(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'a kubelet runs on Linux only'
  if (process.getuid?.() !== 0) return 'a kubelet needs root'
  for (const command of ['ip', 'nsenter', 'unshare', 'setpriv', 'mount', 'hostname', 'tar']) {
    const missing = await commandMissing(command)
    if (missing !== undefined) return missing
  }
  const names: Program[] = ['kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'kubelet', 'pause']
  return (
    (await controlPlaneMissing()) ??
    (await programsMissing(names)) ??
    (await failure(debianMissing, nodeTools))
  )
}

async function commandMissing(command: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    if (folder !== '' && (await isThere(join(folder, command)))) return undefined
  }
  return `${command} is not installed`
}

/** Builds what is not there yet, which is the only way to know that it can be built. */
export async function programsMissing(names: readonly Program[]): Promise<string | undefined> {
  for (const name of names) {
    const missing = await failure(goMissing, () => program(name))
    if (missing !== undefined) return `${name}: ${missing}`
  }
  return undefined
}

async function failure(
  whyNot: () => Promise<string | undefined>,
  attempt: () => Promise<unknown>,
): Promise<string | undefined> {
  try {
    await attempt()
    return undefined
  } catch (error) {
    return (await whyNot()) ?? (error as Error).message
  }
}
