import { after, before, describe } from 'node:test'
import { programsMissing } from '../support/cluster/binaries.ts'
import { approvalSuite } from './approval.suite.ts'
import { chartSuite } from './chart.suite.ts'
import { commandSuite } from './command.suite.ts'
import { controllerProcessSuite } from './controller-process.suite.ts'
import { controllerSuite } from './controller.suite.ts'
import { crdSuite } from './crd.suite.ts'
import { olderCrdSuite } from './older-crd.suite.ts'
import { podEvidenceSuite } from './pod-evidence.suite.ts'
import { missingApiServer, startTestCluster, type TestCluster } from './test-cluster.ts'

// One control plane for all of them: to start it takes longer than most of them.

const skip =
  (await missingApiServer()) ?? (process.env['CI'] ? false : ((await programsMissing(['helm'])) ?? false))

describe('with a real API server', { skip, timeout: 600_000 }, () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await startTestCluster()
  })
  after(() => cluster?.stop())

  crdSuite(() => cluster)
  chartSuite(() => cluster)
  controllerSuite(() => cluster)
  approvalSuite(() => cluster)
  podEvidenceSuite(() => cluster)
  commandSuite(() => cluster)
  controllerProcessSuite(() => cluster)
  olderCrdSuite(() => cluster)
})
