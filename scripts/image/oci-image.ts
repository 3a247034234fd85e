import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, link, mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { runCommand } from '../../src/local/run-command.ts'

/** One layer: an uncompressed tar file. It never leaves the machine, so compressing it would only take time. */
export interface Layer {
  file: string
  size: number
  /** sha256 in hexadecimal, of the file. */
  digest: string
}

/** A folder that becomes a part of a layer. */
interface Tree {
  from: string
  /** Absolute path inside of the image; `/` for a whole root. */
  to: string
  /** tar's patterns of what stays outside, relative to `from`. */
  exclude?: readonly string[]
  /** Readable by all and writable by nobody else, whatever the modes of the files here. Otherwise modes stay. */
  plainModes?: boolean
}

/** Fields of the image's configuration, by the names of the OCI image specification. */
interface ImageConfig {
  User?: string
  WorkingDir?: string
  Env?: readonly string[]
  Entrypoint?: readonly string[]
  Cmd?: readonly string[]
  Labels?: Readonly<Record<string, string>>
}

/** An OCI image layout: a folder that `ctr images import` reads as a tar stream. */
export interface Image {
  reference: string
  folder: string
  /** `sha256:…` of the manifest: what a registry knows it by. */
  digest: string
  /** Bytes of all layers. */
  size: number
}

const tarMilliseconds = 20 * 60_000

/** The same files give the same bytes: owners, times and order are fixed. */
export async function writeLayer(tree: Tree, file: string): Promise<Layer> {
  const prefix = tree.to.replace(/^\/+|\/+$/g, '')
  await runCommand(
    'tar',
    [
      ...['--create', '--file', file, '--directory', tree.from, '--format=posix', '--sort=name'],
      ...['--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime'],
      ...['--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'],
      ...(tree.plainModes ? ['--mode=u+rwX,go-w,go+rX,a-st'] : []),
      ...(tree.exclude ?? []).map((pattern) => `--exclude=${pattern}`),
      // Names only: the targets of links stay as they are.
      ...(prefix === '' ? [] : [`--transform=flags=rSH;s,^\\.,${prefix},`]),
      '.',
    ],
    { timeoutMilliseconds: tarMilliseconds },
  )
  return describeLayer(file)
}

export async function describeLayer(file: string): Promise<Layer> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return { file, size: (await stat(file)).size, digest: hash.digest('hex') }
}

/** Puts layers together under a name. Layer files are linked, not copied, where they lie on the same disk. */
export async function writeImage(
  reference: string,
  layers: readonly Layer[],
  config: ImageConfig,
  folder: string,
): Promise<Image> {
  const blobs = join(folder, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  for (const { file, digest } of layers) await linkOrCopy(file, join(blobs, digest))
  const putJson = async (mediaType: string, value: unknown) => {
    const text = JSON.stringify(value)
    const digest = createHash('sha256').update(text).digest('hex')
    await writeFile(join(blobs, digest), text)
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(text) }
  }
  const configuration = await putJson('application/vnd.oci.image.config.v1+json', {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => `sha256:${digest}`) },
  })
  const manifest = await putJson('application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: configuration,
    layers: layers.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest: `sha256:${digest}`,
      size,
    })),
  })
  // containerd takes the whole name from its own annotation; other tools read the tag from the specification's.
  const annotations = {
    'io.containerd.image.name': reference,
    'org.opencontainers.image.ref.name': reference.slice(reference.lastIndexOf(':') + 1),
  }
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] }
  await writeFile(join(folder, 'index.json'), JSON.stringify(index))
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  return { reference, folder, digest: manifest.digest, size: layers.reduce((sum, { size }) => sum + size, 0) }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await rm(to, { force: true })
  try {
    await link(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    await copyFile(from, to)
  }
}
