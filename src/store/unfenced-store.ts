import { ConflictError } from '../errors.ts'
import type { Store } from './store.ts'

/**
 * A store whose server knows no conditional writes: each condition is looked at before the write, which another writer may
 * slip in between. Two workers that take each other for dead can then overwrite each other's pointer. Only where the user
 * has said so (TEMPER_STORE_FENCING=none).
 */
export function unfencedStore(store: Store): Store {
  return {
    uri: store.uri,
    unfenced: true,
    head: (key) => store.head(key),
    read: (key) => store.read(key),
    async write(key, bytes, condition) {
      const there = condition.kind === 'overwrite' ? undefined : await store.head(key)
      const holds =
        condition.kind === 'overwrite' ||
        (condition.kind === 'absent' ? there === undefined : there?.etag === condition.etag)
      if (!holds) throw new ConflictError(`${key} in ${store.uri} is not what was expected`)
      return store.write(key, bytes, { kind: 'overwrite' })
    },
    upload: (key, localPath, options) => store.upload(key, localPath, options),
    download: (key, localPath) => store.download(key, localPath),
    stream: (key) => store.stream(key),
    list: (prefix) => store.list(prefix),
    remove: (key) => store.remove(key),
    localPath: (key) => store.localPath(key),
  }
}
