import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import { resolveModel } from '../../src/stages/resolve-model.ts'
import type { StageContext } from '../../src/stages/stage-context.ts'
import { openS3Store } from '../../src/store/s3-store.ts'
import { openStore } from '../../src/store/open-store.ts'
import { probeStore } from '../../src/store/probe.ts'
import { s3Encryption } from '../../src/store/s3-encryption.ts'
import type { Store } from '../../src/store/store.ts'
import { unfencedStore } from '../../src/store/unfenced-store.ts'
import { monotonicClock } from '../../src/train/clock.ts'
import { trainSettings } from '../train/settings.ts'

interface Test {
  after(cleanup: () => unknown): void
}

async function folder(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'temper-unfenced-'))
  t.after(() => rm(dir, { recursive: true }))
  return dir
}

/** A real store that takes every write, whatever its condition: as servers do that do not know the headers. */
async function deafStore(t: Test): Promise<Store> {
  const store = await openStore(`file://${await folder(t)}`)
  return new Proxy(store, {
    get: (target, name: keyof Store) => {
      if (name === 'write')
        return (key: string, bytes: string) => target.write(key, bytes, { kind: 'overwrite' })
      const value = target[name]
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

test('a store that does not honour conditions is refused with the reason, and taken where the user says so', async (t) => {
  const deaf = await deafStore(t)
  await assert.rejects(probeStore(deaf), (error) => {
    assert.ok(error instanceof InputError)
    assert.match(error.message, /does not honour conditional writes/)
    return true
  })
  const unfenced = unfencedStore(deaf)
  assert.equal(unfenced.unfenced, true)
  await probeStore(unfenced)
})

test('a job looks at its store before it looks at its model', async (t) => {
  const context: StageContext = {
    store: await deafStore(t),
    scratchDir: await folder(t),
    artifactCache: '',
    downloadCache: '',
    environment: {},
    clock: monotonicClock,
    attemptName: 'a1',
    run: 'r1',
    signal: new AbortController().signal,
    progress: () => {},
    log: () => {},
  }
  const train = { ...trainSettings(), device: 'cpu' as const, packing: false }
  const input = { jobId: 'x', attempt: 1, model: { source: '/there/is/none' }, train, maxLength: 128 }
  await assert.rejects(resolveModel(context, input), /does not honour conditional writes/)
  // Through the store, the model is what is wrong.
  const log: string[] = []
  const store = unfencedStore(context.store)
  const say = (line: { message: string }) => void log.push(line.message)
  await assert.rejects(resolveModel({ ...context, store, log: say }, input), /there\/is\/none/)
  assert.match(log.join(), /FENCING IS OFF/)
})

test('encryption is asked for with every write, small or large', async (t) => {
  const seen: IncomingHttpHeaders[] = []
  const server = createServer((request, response) => {
    if (request.method === 'PUT') seen.push(request.headers)
    request.resume().on('end', () => response.setHeader('ETag', '"e"').setHeader('Content-Length', '0').end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const key = 'arn:aws:kms:eu-central-1:1:key/k'
  Object.assign(process.env, { TEMPER_S3_SSE: 'aws:kms', TEMPER_S3_SSE_KMS_KEY: key })
  t.after(() => {
    delete process.env['TEMPER_S3_SSE']
    delete process.env['TEMPER_S3_SSE_KMS_KEY']
  })
  const store = openS3Store('bucket', '', {
    endpoint,
    credentials: { accessKeyId: 'a', secretAccessKey: 's' },
  })
  await store.write('small', 'text', { kind: 'absent' })
  const file = join(await folder(t), 'file')
  await writeFile(file, '')
  await store.upload('large', file)
  assert.equal(seen.length, 2)
  for (const headers of seen) {
    assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms')
    assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], key)
  }
})

test('wrong settings of encryption are refused', () => {
  assert.throws(() => s3Encryption({ TEMPER_S3_SSE: 'rot13' }), /TEMPER_S3_SSE must be AES256/)
  assert.throws(() => s3Encryption({ TEMPER_S3_SSE_KMS_KEY: 'k' }), /TEMPER_S3_SSE is not aws:kms/)
  assert.deepEqual(s3Encryption({ TEMPER_S3_SSE: 'AES256' }), { ServerSideEncryption: 'AES256' })
  assert.deepEqual(s3Encryption({}), {})
})
