import { InputError } from '../errors.ts'

/** S3 allows 1024 bytes; the rest is for the store's prefix. */
const MAX_KEY = 900
/** NAME_MAX is 255 on every file system we know; the rest is for suffixes of temporary names. */
const MAX_SEGMENT = 200
/** No separators, no escapes, nothing a shell, a URL or a file system reads in its own way (CWE-22). */
const SEGMENT = /^[A-Za-z0-9._=-]+$/

/** Refuses a key that could reach outside the store or mean different things to different stores. Returns it. */
export function checkKey(key: string): string {
  const reason = keyFault(key)
  if (reason !== undefined)
    throw new InputError(`the store key ${JSON.stringify(key.slice(0, MAX_KEY))} ${reason}`)
  return key
}

/** What is wrong with a key, or undefined. */
export function keyFault(key: string): string | undefined {
  if (key.length > MAX_KEY) return `is longer than ${MAX_KEY} characters`
  for (const segment of key.split('/')) {
    if (segment === '') return 'has an empty part (a slash at an end, or two in a row)'
    if (segment === '.' || segment === '..') return `has the part ${segment}, which leaves its folder`
    if (segment.length > MAX_SEGMENT) return `has a part of more than ${MAX_SEGMENT} characters`
    if (!SEGMENT.test(segment)) return 'may have only letters, digits and . _ = - between its slashes'
  }
  return undefined
}

/** A prefix to list: empty, a key, a key's beginning, or a key with a slash behind. Returns it. */
export function checkPrefix(prefix: string): string {
  if (prefix !== '') checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
  return prefix
}
