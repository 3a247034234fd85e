import assert from 'node:assert/strict'
import { nodesMissing, programsMissing } from '../../support/cluster/binaries.ts'
import { helm } from '../../support/cluster/kubectl.ts'
import { keysOf } from '../../store/support/scratch.ts'
import type { ClusterCase } from '../cluster-case.ts'
import { fineTune } from '../fine-tune.ts'
import { Installation } from '../installation.ts'
import { type Surroundings, seconds } from '../surroundings.ts'

const STAGES = ['model', 'clean', 'tokenize', 'train', 'evaluate', 'merge', 'quantize', 'publish']

export const install: ClusterCase = {
  name: 'install',
  what: 'helm install, a FineTune through all stages, helm test, helm upgrade while it trains, helm uninstall',
  missing: async () => (await nodesMissing()) ?? programsMissing(['helm', 'kubectl', 'coredns']),
  run,
}

async function run(place: Surroundings, say: (line: string) => void): Promise<void> {
  const installation = await Installation.prepare(place, 'install')
  let began = performance.now()
  await installation.install()
  say(`helm install until every pod is ready: ${seconds(began)}`)
  const [worker] = await installation.pods('cpu')
  const token = "require('fs').existsSync('/var/run/secrets/kubernetes.io/serviceaccount/token')"
  const inPod = (name: string) => installation.kubectl('exec', name, '--', 'node', '-p', token)
  assert.equal((await inPod(worker?.metadata?.name ?? '')).trim(), 'false')
  assert.equal((await inPod('deployment/temper-controller')).trim(), 'true')
  say("the controller's pod has a token for the API server, a worker's has none")

  began = performance.now()
  await installation.apply(fineTune('first'))
  const first = await installation.complete('first')
  say(`a FineTune of the tiny model, from kubectl apply to Complete: ${seconds(began)}`)
  assert.deepEqual(
    first.status?.stages?.map(({ name, state }) => [name, state]),
    STAGES.map((name) => [name, 'done']),
  )
  assert.equal(first.status?.published, 'first@1')
  for (const stage of STAGES.slice(1, -1)) {
    const manifests = (await keysOf(installation.store, `artifacts/${stage}/`)).filter((key) =>
      key.endsWith('/manifest.json'),
    )
    assert.equal(manifests.length, 1, `${stage} has one artifact in S3`)
  }
  assert.equal((await keysOf(installation.store, 'models/first/')).length > 1, true)
  say('every stage is done, its artifact is in S3, first@1 is published')

  began = performance.now()
  assert.match(await installation.test(), /Phase:\s+Succeeded/)
  say(`helm test: ${seconds(began)}`)
  await upgradeWhileTraining(installation, say)
  await leaveNothing(installation, say)
}

async function upgradeWhileTraining(installation: Installation, say: (line: string) => void): Promise<void> {
  const train = { maxSteps: 1500, seed: 7 }
  await installation.apply(fineTune('second', train))
  await installation.until('second', 'training', ({ status }) => {
    const done = status?.progress?.metrics.find(({ name }) => name === 'done')?.value
    return status?.stage === 'train' && Number(done ?? 0) > 100
  })
  const [before] = await installation.pods('cpu')
  const began = performance.now()
  // Another environment is another template: every worker's pod is replaced.
  await installation.upgrade({ extraEnv: [{ name: 'UPGRADED', value: 'yes' }] })
  say(`helm upgrade while it trains, until every pod is ready: ${seconds(began)}`)
  const second = await installation.complete('second')
  const [after] = await installation.pods('cpu')
  assert.notEqual(after?.metadata?.uid, before?.metadata?.uid, 'the training pod was replaced')
  const recoveries = second.status?.recoveries ?? []
  say(`recoveries: ${JSON.stringify(recoveries)}`)
  for (const { stepsLost } of recoveries) assert.equal(stepsLost ?? 0, 0, 'a drained worker loses no step')
}

async function leaveNothing(installation: Installation, say: (line: string) => void): Promise<void> {
  await installation.kubectl('delete', 'finetunes', '--all')
  await installation.uninstall()
  const kinds =
    'deployments,replicasets,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,leases,networkpolicies,poddisruptionbudgets'
  const names = async () =>
    (await installation.kubectl('get', kinds, '-o', 'name')).split('\n').filter((name) => name !== '')
  const own = /^(configmap\/kube-root-ca\.crt|secret\/s3|serviceaccount\/default)$/
  // What the garbage collector takes goes a moment later.
  await installation.eventually('its objects to go', async () =>
    (await names()).every((name) => own.test(name)) ? true : undefined,
  )
  const wide = await installation.kubectl('get', 'clusterroles,clusterrolebindings', '-o', 'name')
  assert.doesNotMatch(wide, /temper/)
  assert.equal(await helm(installation, ['list', '--namespace', installation.namespace, '--short']), '')
  say('helm uninstall left nothing in the namespace but what was there before')
}
