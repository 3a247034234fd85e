import type { Readable } from 'node:stream'

/** `read` is for manifests and pointers; what is larger is streamed or downloaded. */
export const MAX_READ = 64 * 1024 * 1024

/** What a store says of an object. `etag` is opaque: only equality means something. */
export interface StoredObject {
  key: string
  size: number
  etag: string
}

/**
 * When a write may happen. `absent`: only if nothing is there (S3's If-None-Match: *). `matches`: only if the object still
 * is the one that was read (If-Match). Where the condition does not hold, ConflictError. `overwrite` is for keys of one writer,
 * not for keys that others write under a condition.
 */
export type WriteCondition = { kind: 'absent' } | { kind: 'matches'; etag: string } | { kind: 'overwrite' }

/**
 * One place for artifacts: a local folder or an S3 bucket. Keys are slash-separated relative paths of
 * [A-Za-z0-9._=-] segments; anything else is refused before it reaches a disk or a network.
 * Errors: ConflictError (condition; also where a write's fate is unknown and other bytes are there now, so: read again),
 * CorruptError (download or stream of an object that is not there), TransientError (unreachable, 5xx, timeouts after bounded retries),
 * InputError (no such bucket, no permission, disk full: says what to mend).
 */
export interface Store {
  /** `file:///absolute/folder` or `s3://bucket/prefix`. */
  readonly uri: string
  /** Set where conditions are no more than looked at: see unfenced-store.ts. */
  readonly unfenced?: true
  /** The object without its bytes, or undefined where there is none. */
  head(key: string): Promise<StoredObject | undefined>
  /** A small object whole (manifests, pointers), or undefined where there is none. */
  read(key: string): Promise<{ bytes: Uint8Array; etag: string } | undefined>
  /** A small object under a condition. Atomic: a reader sees the old bytes or the new. */
  write(key: string, bytes: Uint8Array | string, condition: WriteCondition): Promise<StoredObject>
  /** A file of any size; S3 in parts, verified. Unconditional: such keys carry their attempt's name. */
  upload(key: string, localPath: string, options?: { signal?: AbortSignal }): Promise<StoredObject>
  /** Into a local file: temporary name, fsync, rename. */
  download(key: string, localPath: string): Promise<void>
  /** A stream of the object's bytes (for large files read once). */
  stream(key: string): Promise<Readable>
  /** Every object whose key begins with `prefix`, in no order: servers differ in it. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** No error where nothing is there. For keys that nobody writes any more. */
  remove(key: string): Promise<void>
  /** Where an uploaded object lies as a file on this machine, to be read in place; undefined for a store elsewhere. */
  localPath(key: string): string | undefined
}
