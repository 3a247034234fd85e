import { GetObjectCommand } from '@aws-sdk/client-s3'
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3'
import type { Readable } from 'node:stream'
import { TransientError } from '../errors.ts'
import { isPreconditionFailed } from './s3-errors.ts'

/** A body that sends nothing for so long is cut off and asked for again from where it stopped. */
const STALL_MILLISECONDS = 30_000
/** Cuts in a row without a single byte in between. */
const MAX_CUTS = 5

export interface OpenedObject {
  size: number
  etag: string
  chunks: AsyncIterable<Uint8Array>
}

/**
 * An object's bytes. The SDK retries a request, but not a body that breaks off: this asks for the rest (Range, and If-Match so
 * that it is the rest of the same object). Errors before the first byte are the SDK's own.
 */
export async function openS3Object(client: S3Client, bucket: string, key: string): Promise<OpenedObject> {
  const first = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  const size = first.ContentLength ?? 0
  const etag = first.ETag ?? ''
  async function rest(from: number): Promise<GetObjectCommandOutput> {
    try {
      const range = { Range: `bytes=${from}-`, IfMatch: etag }
      return await client.send(new GetObjectCommand({ Bucket: bucket, Key: key, ...range }))
    } catch (error) {
      if (!isPreconditionFailed(error)) throw error
      throw new TransientError(`${key} was replaced while it was read`, { cause: error })
    }
  }
  async function* chunks(): AsyncIterable<Uint8Array> {
    let answer = first
    let have = 0
    for (let cuts = 0; ;) {
      const before = have
      try {
        for await (const chunk of bodyOf(answer)) {
          have += chunk.length
          yield chunk
        }
        if (have === size) return
        throw new Error(`the body ended after ${have} of ${size} bytes`)
      } catch (error) {
        cuts = have > before ? 1 : cuts + 1
        // All bytes came and the SDK's checksum does not fit them: which ones are wrong is unknown.
        if (have >= size) throw new TransientError(`${key} arrived damaged`, { cause: error })
        if (cuts > MAX_CUTS)
          throw new TransientError(`the connection broke ${cuts} times while reading ${key}`, {
            cause: error,
          })
      }
      answer = await rest(have)
    }
  }
  return { size, etag, chunks: chunks() }
}

async function* bodyOf(answer: GetObjectCommandOutput): AsyncIterable<Uint8Array> {
  const body = answer.Body as Readable
  const stalled = () => body.destroy(new Error(`no byte for ${STALL_MILLISECONDS / 1000} s`))
  let timer = setTimeout(stalled, STALL_MILLISECONDS)
  try {
    for await (const chunk of body) {
      clearTimeout(timer)
      // The consumer's own time (a slow disk) is not the server's stall.
      yield chunk as Uint8Array
      timer = setTimeout(stalled, STALL_MILLISECONDS)
    }
  } finally {
    clearTimeout(timer)
    body.destroy()
  }
}
