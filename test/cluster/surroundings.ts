import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Image, type Layer, writeImage, writeLayer } from '../../scripts/image/oci-image.ts'
import { buildProductImage } from '../../scripts/image/product-image.ts'
import { type Store, openStoreOf } from './store-of.ts'
import { type Cluster, startCluster } from '../support/cluster/cluster.ts'
import { folderPrefix, markFolder } from '../support/cluster/leftovers.ts'
import { type SeaweedFs, startSeaweedFs } from '../support/seaweedfs.ts'
import { writeTinyModel } from '../support/tiny-model.ts'
import { type HostTemporal, startHostTemporal } from './host-temporal.ts'
import type { RecoveryTime } from './recovery-times.ts'

export const PRODUCT = { repository: 'temper.test/temper', tag: 'commit' }
/** The product's image with /fixtures: an init container of it hands model and rows to the workers. */
export const FIXTURES = 'temper.test/fixtures:commit'
export const BUCKET = 'cluster'

/** What cases share. Each part is started when the first case asks for it. */
export interface Surroundings {
  /** Everything that is not in the cluster's own folder lies here. */
  folder: string
  image(): Promise<Image & { layers: Layer[] }>
  /** Two nodes with a GPU each, and the images on them. */
  cluster(): Promise<Cluster>
  temporal(): Promise<HostTemporal>
  s3(): Promise<SeaweedFs>
  /** Of one installation. */
  store(prefix: string): Promise<Store>
  /** How often a training is disturbed. */
  disturbances: number
  /** What cases have measured, for docs/faults.md. */
  recoveries: RecoveryTime[]
  close(): Promise<void>
}

/** So that two nodes of one machine do not offer its memory twice. */
const RESERVED_MEMORY = '2Gi'
const ROWS = 60
/** Characters of a long answer. */
const LONG_ROW = 900

export async function openSurroundings(
  say: (line: string) => void,
  disturbances: number,
): Promise<Surroundings> {
  const folder = await mkdtemp(join(tmpdir(), `${folderPrefix}test-`))
  await markFolder(folder)
  const closing: (() => Promise<void>)[] = []
  const once = <T>(what: string, start: () => Promise<T>): (() => Promise<T>) => {
    let started: Promise<T> | undefined
    return () =>
      (started ??= (async () => {
        const began = performance.now()
        const value = await start()
        say(`  ${what}: ${seconds(began)}`)
        return value
      })())
  }
  const image = once('the image of this checkout', () =>
    buildProductImage(`${PRODUCT.repository}:${PRODUCT.tag}`, join(folder, 'image')),
  )
  const cluster = once('two nodes with the image on them', async () => {
    const [product, fixtures] = await withFixtures(await image(), join(folder, 'fixtures'))
    const node = { gpus: 1, reservedMemory: RESERVED_MEMORY }
    const started = await startCluster([node, node], { dns: true })
    closing.push(() => started.stop())
    await started.importImage(product)
    await started.importImage(fixtures)
    return started
  })
  const temporal = once('Temporal', async () => {
    const { network } = await cluster()
    const started = await startHostTemporal(network.hostAddress, folder)
    closing.push(() => started.stop())
    return started
  })
  const s3 = once('S3', async () => {
    const { network } = await cluster()
    const started = await startSeaweedFs(network.hostAddress, folder)
    closing.push(() => started.stop())
    await started.createBucket(BUCKET)
    return started
  })
  return {
    folder,
    image,
    cluster,
    temporal,
    s3,
    disturbances,
    recoveries: [],
    store: async (prefix) => openStoreOf(await s3(), `s3://${BUCKET}/${prefix}`),
    close: async () => {
      for (const close of closing.toReversed()) await close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`
}

/** Its rotary positions know no end. */
async function lengthenContext(file: string): Promise<void> {
  const config = JSON.parse(await readFile(file, 'utf8')) as object
  await writeFile(file, JSON.stringify({ ...config, max_position_embeddings: 2048 }))
}

/** A second image over the same layers: the nodes keep each layer once. */
async function withFixtures(product: Image & { layers: Layer[] }, folder: string): Promise<[Image, Image]> {
  const tree = join(folder, 'tree')
  await writeTinyModel(join(tree, 'model'))
  await lengthenContext(join(tree, 'model', 'config.json'))
  await mkdir(tree, { recursive: true })
  const rows = Array.from({ length: ROWS }, (_, i) =>
    JSON.stringify({ instruction: `What is ${i} plus one?`, output: `It is ${i + 1}.` }),
  )
  await writeFile(join(tree, 'rows.jsonl'), `${rows.join('\n')}\n`)
  // A token of the tiny model is a byte: these rows take the memory that attention wants of long ones.
  const long = Array.from({ length: ROWS }, (_, i) =>
    JSON.stringify({ instruction: `Count from ${i}.`, output: `${i} `.repeat(LONG_ROW).slice(0, LONG_ROW) }),
  )
  await writeFile(join(tree, 'long-rows.jsonl'), `${long.join('\n')}\n`)
  const layer = await writeLayer({ from: tree, to: '/fixtures', plainModes: true }, join(folder, 'tree.tar'))
  const config = { User: '10001:10001', WorkingDir: '/fixtures', Env: ['PATH=/usr/local/bin'] }
  const image = await writeImage(FIXTURES, [...product.layers, layer], config, join(folder, 'layout'))
  return [product, image]
}
