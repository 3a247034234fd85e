import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import type { SeaweedFs } from '../support/seaweedfs.ts'

export type { Store }

export function openStoreOf(s3: SeaweedFs, uri: string): Promise<Store> {
  const { endpoint, accessKeyId, secretAccessKey } = s3
  return openStore(uri, { s3: { endpoint, credentials: { accessKeyId, secretAccessKey } } })
}
