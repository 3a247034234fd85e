import { randomBytes } from 'node:crypto'
import { after, before, describe } from 'node:test'
import { openStore } from '../../src/store/open-store.ts'
import { seaweedFsMissing, startSeaweedFs } from '../support/seaweedfs.ts'
import type { SeaweedFs } from '../support/seaweedfs.ts'
import { everySuite } from './suites/every-suite.ts'

const missing = await seaweedFsMissing()

describe('s3:// (SeaweedFS)', { skip: missing ?? false, concurrency: 4 }, () => {
  let server: SeaweedFs
  before(async () => {
    server = await startSeaweedFs()
    await server.createBucket('temper')
  })
  after(() => server.stop())
  everySuite(() => {
    const { endpoint, accessKeyId, secretAccessKey } = server
    const s3 = { endpoint, credentials: { accessKeyId, secretAccessKey } }
    return openStore(`s3://temper/tests/${randomBytes(6).toString('hex')}`, { s3 })
  })
})
