import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { baseLayer } from '../../../scripts/image/base-layer.ts'
import { writeImage, writeLayer } from '../../../scripts/image/oci-image.ts'
import { downloadCache } from '../../../src/local/state-folder.ts'
import { findTemporalBinary } from '../../../src/local/temporal-binary.ts'
import { runCommand } from '../../../src/local/run-command.ts'
import { nodesMissing, programsMissing } from '../../support/cluster/binaries.ts'
import type { ClusterCase } from '../cluster-case.ts'
import { fineTune } from '../fine-tune.ts'
import { Installation } from '../installation.ts'
import { type Surroundings, seconds } from '../surroundings.ts'

const TEMPORAL_IMAGE = 'temper.test/temporal:1'
/** In a node: there is no provisioner of volumes, so the volume is made as an administrator would. */
const FOLDER = '/var/lib/temper-quickstart'
const USER = '10001'

export const quickstart: ClusterCase = {
  name: 'quickstart',
  what: 'quickstart.enabled: a Temporal dev server and one volume in the cluster, a FineTune to its end, helm test',
  missing: async () => (await nodesMissing()) ?? programsMissing(['helm', 'kubectl', 'coredns']),
  run,
}

async function run(place: Surroundings, say: (line: string) => void): Promise<void> {
  const cluster = await place.cluster()
  const [node] = cluster.nodes
  assert(node)
  await node.importImage(await temporalImage(join(place.folder, 'temporal-image')))
  await node.machine.run('mkdir', '-p', FOLDER)
  await node.machine.run('chown', `${USER}:${USER}`, FOLDER)
  const installation = await Installation.prepare(place, 'quickstart', {
    temporal: { address: '' },
    store: { uri: '', endpoint: '', existingSecret: '' },
    quickstart: { enabled: true, temporalImage: TEMPORAL_IMAGE, volumeSize: '1Gi' },
  })
  await installation.apply(volume(node.name))
  let began = performance.now()
  await installation.install()
  say(`helm install until every pod is ready: ${seconds(began)}`)
  began = performance.now()
  await installation.apply(fineTune('first'))
  const { status } = await installation.complete('first')
  assert.equal(status?.published, 'first@1')
  say(`a FineTune of the tiny model, from kubectl apply to Complete: ${seconds(began)}`)
  assert.match(await installation.test(), /Phase:\s+Succeeded/)
  say('helm test passes')
  await installation.kubectl('delete', 'finetunes', '--all')
  await installation.uninstall()
}

/** What Temporal's own image holds, without its shell: the server's program over the product's base. */
async function temporalImage(folder: string) {
  const { path } = await findTemporalBinary({
    environment: process.env,
    cacheDir: downloadCache(process.env),
    say: () => {},
  })
  const tree = join(folder, 'tree')
  await mkdir(tree, { recursive: true })
  await runCommand('cp', [path, join(tree, 'temporal')], { timeoutMilliseconds: 60_000 })
  const layer = await writeLayer(
    { from: tree, to: '/usr/local/bin', plainModes: true },
    join(folder, 'tree.tar'),
  )
  return writeImage(
    TEMPORAL_IMAGE,
    [await baseLayer(), layer],
    { User: USER, Env: ['PATH=/usr/local/bin'], Entrypoint: ['temporal'] },
    join(folder, 'layout'),
  )
}

function volume(node: string): object {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'quickstart' },
    spec: {
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: '',
      local: { path: FOLDER },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] },
          ],
        },
      },
    },
  }
}
