import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../../src/local/run-command.ts'
import { baseLayer } from './base-layer.ts'
import { type Image, type Layer, writeImage, writeLayer } from './oci-image.ts'
import { type Packages, productPackages } from './packages.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** What controller, workers and command consist of. The Dockerfile copies the same: test/package/image.test.ts. */
export const PRODUCT = [
  ...['package.json', 'LICENSE', 'bin', 'src', 'workflows', 'activities', 'worker', 'jobs', 'cli', 'k8s'],
  'examples',
]
/** Beside them while the workflows are bundled. */
export const BUNDLER = ['scripts/bundle-workflows.ts', 'scripts/workflow-code.ts']
const COMMAND_MILLISECONDS = 5 * 60_000
/** How a container of it begins. */
export const IMAGE = {
  User: '10001:10001',
  WorkingDir: '/app',
  Env: [
    'PATH=/usr/local/bin:/usr/bin:/bin',
    'NODE_ENV=production',
    'TEMPER_HOME=/var/lib/temper',
    'TEMPER_CACHE=/var/cache/temper',
  ],
  Cmd: ['node', 'worker/main.ts'],
}

/**
 * The CPU image of this checkout as an OCI layout, made without a container engine or a registry of images: a base of Debian's
 * libraries, Node, the packages of the lock file and the tracked files of the product. The same commit gives the same digest.
 */
export async function buildProductImage(
  reference: string,
  folder: string,
): Promise<Image & { layers: Layer[] }> {
  await mkdir(folder, { recursive: true })
  const packages = await productPackages(root)
  const layers = [await baseLayer(), ...packages.layers, await sourcesLayer(packages, folder)]
  const image = await writeImage(
    reference,
    layers,
    {
      ...IMAGE,
      Labels: {
        'org.opencontainers.image.title': 'temper',
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.revision': await revision(),
      },
    },
    folder,
  )
  return { ...image, layers }
}

async function sourcesLayer(packages: Packages, folder: string): Promise<Layer> {
  // Below the packages, so that they are found, and not below node_modules, where Node runs no TypeScript.
  const stage = await mkdtemp(join(packages.folder, 'sources-'))
  try {
    for (const file of await trackedFiles()) {
      await mkdir(dirname(join(stage, file)), { recursive: true })
      await cp(join(root, file), join(stage, file))
    }
    await runCommand(process.execPath, [join(stage, 'scripts/bundle-workflows.ts')], {
      timeoutMilliseconds: COMMAND_MILLISECONDS,
    })
    await rm(join(stage, 'scripts'), { recursive: true })
    return await writeLayer({ from: stage, to: '/app', plainModes: true }, join(folder, 'sources.tar'))
  } finally {
    await rm(stage, { recursive: true, force: true })
  }
}

/** Files that git knows, as they are now: nothing that merely lies around gets into an image. */
async function trackedFiles(): Promise<string[]> {
  const list = await git('ls-files', '-z', '--', ...PRODUCT, ...BUNDLER)
  return list.split('\0').filter((name) => name !== '')
}

async function revision(): Promise<string> {
  const commit = (await git('rev-parse', 'HEAD')).trim()
  const changes = await git('status', '--porcelain', '--', ...PRODUCT, ...BUNDLER, 'package-lock.json')
  return changes === '' ? commit : `${commit}-changed`
}

function git(...args: string[]): Promise<string> {
  return runCommand('git', ['-C', root, ...args], { timeoutMilliseconds: COMMAND_MILLISECONDS })
}
