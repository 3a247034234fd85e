import { createHash } from 'node:crypto'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../src/local/run-command.ts'
import { cachedFolder } from '../../test/support/cluster/tool-cache.ts'
import { type Layer, describeLayer, writeLayer } from './oci-image.ts'

const LOCK = ['package-lock.json', '.npmrc']
/** Another way of installing or pruning is another folder of the cache. */
const RECIPE = 2
const INSTALL_MILLISECONDS = 20 * 60_000

/** Read by compilers, debuggers and other platforms, by nobody in a pod of this one. */
const WITHOUT_USE = [
  ...['*.map', '*.d.ts', '*.d.mts', '*.d.cts', './.package-lock.json', './node-linux-*'],
  // Sources in Rust, and test data of a package.
  ...['./@temporalio/core-bridge/sdk-core', './bintrees/test'],
]
/** In the image Node is /usr/local/bin/node. */
const NODE_LINKS = ['./.bin/node']

export interface Packages {
  /** Has node_modules: what is below can be run. */
  folder: string
  layers: Layer[]
}

/**
 * The packages that the product runs with, by the lock file and from nothing else, as two layers: Node itself (package
 * node-linux-<arch>) and node_modules. Installed once for each lock file and kept in the user's cache.
 */
export async function productPackages(root: string): Promise<Packages> {
  const hash = createHash('sha256').update(`${RECIPE} ${process.arch}`)
  for (const name of LOCK) hash.update(await readFile(join(root, name)))
  const folder = await cachedFolder(`image-packages-${hash.digest('hex').slice(0, 16)}`, async (fresh) => {
    for (const name of ['package.json', ...LOCK]) await copyFile(join(root, name), join(fresh, name))
    await runCommand('npm', ['ci', '--omit=dev', '--ignore-scripts', '--prefix', fresh], {
      timeoutMilliseconds: INSTALL_MILLISECONDS,
    })
    const modules = join(fresh, 'node_modules')
    await writeLayer(
      {
        from: join(modules, `node-linux-${process.arch}`, 'bin'),
        to: '/usr/local/bin',
        plainModes: true,
      },
      join(fresh, 'node.tar'),
    )
    await writeLayer(
      {
        from: modules,
        to: '/app/node_modules',
        exclude: [...WITHOUT_USE, ...NODE_LINKS, ...otherPlatforms()],
        plainModes: true,
      },
      join(fresh, 'modules.tar'),
    )
  })
  const layers = await Promise.all(
    ['node.tar', 'modules.tar'].map((name) => describeLayer(join(folder, name))),
  )
  return { folder, layers }
}

/** Native libraries that two packages bring for every platform. */
function otherPlatforms(): string[] {
  const [own, other] = process.arch === 'arm64' ? ['aarch64', 'x86_64'] : ['x86_64', 'aarch64']
  const otherArch = process.arch === 'arm64' ? 'x64' : 'arm64'
  return [
    ...['darwin', 'win32', `linux/${otherArch}`].map((place) => `./onnxruntime-node/bin/*/${place}`),
    ...[`${own}-apple-*`, `${own}-pc-*`, `${other}-*`].map(
      (place) => `./@temporalio/core-bridge/releases/${place}`,
    ),
  ]
}
