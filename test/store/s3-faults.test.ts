import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { ConflictError, InputError, TransientError } from '../../src/errors.ts'
import { latestCheckpoint } from '../../src/store/checkpoints.ts'
import { acquireLease } from '../../src/store/lease.ts'
import { openStore } from '../../src/store/open-store.ts'
import { probeStore } from '../../src/store/probe.ts'
import type { S3Options } from '../../src/store/s3-client.ts'
import type { Store } from '../../src/store/store.ts'
import { seaweedFsMissing, startSeaweedFs } from '../support/seaweedfs.ts'
import type { SeaweedFs } from '../support/seaweedfs.ts'
import { runScenario, seededRandom } from './support/run-scenario.ts'
import { s3Proxy } from './support/s3-proxy.ts'
import type { Fate, S3Proxy, SeenRequest } from './support/s3-proxy.ts'
import { PREFIX } from './support/scenario.ts'
import { folderWith, keysOf, randomContent, scratchFolder, textOf } from './support/scratch.ts'

const missing = await seaweedFsMissing()
const PASS: Fate = { kind: 'pass' }
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32))

describe(`s3:// behind faults (SEED=${SEED})`, { skip: missing ?? false }, () => {
  let server: SeaweedFs
  let proxy: S3Proxy
  let prefix: string
  /** Through the proxy, with quick retries; and straight to the server. */
  let store: Store
  let direct: Store
  let credentials: { accessKeyId: string; secretAccessKey: string }

  before(async () => {
    server = await startSeaweedFs()
    await server.createBucket('temper')
    proxy = await s3Proxy(server.endpoint)
    credentials = { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey }
  })
  after(async () => {
    await proxy.close()
    await server.stop()
  })
  beforeEach(async () => {
    prefix = randomBytes(6).toString('hex')
    proxy.seen.length = 0
    proxy.decide = () => PASS
    store = await openStore(`s3://temper/${prefix}`, { s3: { endpoint: proxy.endpoint, credentials } })
    direct = await openStore(`s3://temper/${prefix}`, { s3: { endpoint: server.endpoint, credentials } })
  })

  /** These fates for the first requests of a method, one each; the rest passes. */
  function meet(method: string, ...fates: Fate[]): void {
    proxy.decide = (seen) => (seen.method === method ? (fates.shift() ?? PASS) : PASS)
  }

  for (const fate of [
    { kind: 'answer', status: 503, code: 'SlowDown' },
    { kind: 'answer', status: 500, code: 'InternalError' },
    { kind: 'cut before' },
  ] satisfies Fate[]) {
    test(`a write goes through after two times ${JSON.stringify(fate)}`, async () => {
      meet('PUT', fate, fate)
      await store.write('k', 'mine', { kind: 'absent' })
      assert.equal(proxy.seen.filter(({ method }) => method === 'PUT').length, 3)
      assert.equal(await textOf(direct, 'k'), 'mine')
    })
  }

  test('a creation that was done but not answered is known for our own', async () => {
    meet('PUT', { kind: 'cut after' })
    const { etag } = await store.write('k', 'mine', { kind: 'absent' })
    assert.equal((await direct.head('k'))?.etag, etag)
    assert.equal(proxy.seen.filter(({ method }) => method === 'PUT').length, 2)
  })

  test('a swap that was done but not answered is known for our own, and can be swapped again', async () => {
    const { etag } = await direct.write('k', 'old', { kind: 'absent' })
    meet('PUT', { kind: 'cut after' }, { kind: 'cut after' })
    const swapped = await store.write('k', 'mine', { kind: 'matches', etag })
    await store.write('k', 'mine again', { kind: 'matches', etag: swapped.etag })
    assert.equal(await textOf(direct, 'k'), 'mine again')
  })

  test("another's write is not taken for our own, though ours may have been done", async () => {
    const { etag } = await direct.write('k', 'old', { kind: 'absent' })
    proxy.decide = async (seen) => {
      if (seen.method !== 'PUT' || proxy.seen.length > 1) return PASS
      await direct.write('k', "another's", { kind: 'matches', etag })
      return { kind: 'cut before' }
    }
    await assert.rejects(store.write('k', 'mine', { kind: 'matches', etag }), ConflictError)
    assert.equal(await textOf(direct, 'k'), "another's")
  })

  test('a write of which no answer ever comes is looked up in the end', async () => {
    proxy.decide = ({ method }) => (method === 'PUT' ? { kind: 'cut after' } : PASS)
    await store.write('done', 'mine', { kind: 'absent' })
    proxy.decide = ({ method }) => (method === 'PUT' ? { kind: 'cut before' } : PASS)
    await assert.rejects(store.write('not-done', 'mine', { kind: 'absent' }), TransientError)
    assert.deepEqual(await keysOf(direct), ['done'])
  })

  test('writers that collide (409) try again', async () => {
    const collision: Fate = { kind: 'answer', status: 409, code: 'ConditionalRequestConflict' }
    meet('PUT', collision, collision, collision)
    await store.write('k', 'mine', { kind: 'absent' })
    assert.equal(await textOf(direct, 'k'), 'mine')
  })

  test('a store that knows no conditional writes is refused with the reason', async () => {
    meet('PUT', { kind: 'answer', status: 501, code: 'NotImplemented' })
    await assert.rejects(probeStore(store), (error) => {
      assert.ok(error instanceof InputError)
      assert.match(error.message, /use a store with conditional writes/)
      return true
    })
  })

  test('a machine whose clock the server refuses is told so', async () => {
    proxy.decide = () => ({ kind: 'answer', status: 403, code: 'RequestTimeTooSkewed' })
    await assert.rejects(probeStore(store), (error) => {
      assert.ok(error instanceof InputError, String(error))
      assert.match(error.message, /the clock of this machine differs too much .*; set it right/)
      return true
    })
  })

  test('a body that breaks off is asked for from where it stopped', async (t) => {
    const content = randomContent(300_000)
    const folder = await folderWith(t, { large: content })
    await direct.upload('large', path.join(folder, 'large'))
    const cut: Fate = { kind: 'cut within' }
    for (const operation of ['download', 'stream', 'read'] as const) {
      proxy.seen.length = 0
      meet('GET', cut, cut, cut)
      const bytes = await {
        download: async () => {
          await store.download('large', path.join(folder, 'copy'))
          return readFile(path.join(folder, 'copy'))
        },
        stream: async () => Buffer.concat(await (await store.stream('large')).toArray()),
        read: async () => Buffer.from((await store.read('large'))?.bytes ?? []),
      }[operation]()
      assert.ok(content.equals(bytes), operation)
      const ranges = proxy.seen.map(({ headers }) => headers.range)
      assert.equal(ranges.filter((range) => range !== undefined).length, 3, operation)
    }
  })

  test('an object that is replaced in mid-read is not stitched together of two', async () => {
    await direct.write('k', 'a'.repeat(1000), { kind: 'absent' })
    proxy.decide = async ({ method, headers }) => {
      if (method !== 'GET') return PASS
      if (headers.range === undefined) return { kind: 'cut within' }
      await direct.write('k', 'b'.repeat(1000), { kind: 'overwrite' })
      return PASS
    }
    await assert.rejects(store.read('k'), TransientError)
    proxy.decide = () => PASS
    assert.equal(await textOf(store, 'k'), 'b'.repeat(1000))
  })

  test('a body that never comes is given up, and nothing is left of it', async (t) => {
    const folder = await folderWith(t, { large: randomContent(300_000) })
    await direct.upload('large', path.join(folder, 'large'))
    let cuts = 0
    proxy.decide = ({ method, headers }): Fate => {
      if (method !== 'GET') return PASS
      cuts++
      return headers.range === undefined
        ? { kind: 'cut within' }
        : { kind: 'answer', status: 500, code: 'InternalError' }
    }
    const target = await scratchFolder(t)
    await assert.rejects(store.download('large', path.join(target, 'copy')), TransientError)
    assert.ok(cuts > 2)
    assert.deepEqual(await keysOf(await openStore(`file://${target}`)), [])
  })

  test('a large upload survives a part that fails for a while', async (t) => {
    const content = randomContent(17 * 1024 * 1024)
    const folder = await folderWith(t, { large: content })
    meet(
      'PUT',
      { kind: 'cut after' },
      { kind: 'answer', status: 503, code: 'SlowDown' },
      { kind: 'cut before' },
    )
    await store.upload('large', path.join(folder, 'large'))
    await direct.download('large', path.join(folder, 'copy'))
    assert.ok(content.equals(await readFile(path.join(folder, 'copy'))))
  })

  test('a large upload whose end was done but not answered is complete', async (t) => {
    const content = randomContent(17 * 1024 * 1024)
    const folder = await folderWith(t, { large: content })
    let cut = false
    proxy.decide = ({ method, path: url }): Fate => {
      if (method !== 'POST' || !url.includes('uploadId=') || cut) return PASS
      cut = true
      return { kind: 'cut after' }
    }
    const { size } = await store.upload('large', path.join(folder, 'large'))
    assert.ok(cut)
    assert.equal(size, content.length)
    await direct.download('large', path.join(folder, 'copy'))
    assert.ok(content.equals(await readFile(path.join(folder, 'copy'))))
  })

  test('an upload that fails for good leaves neither an object nor parts', async (t) => {
    const folder = await folderWith(t, { large: randomContent(17 * 1024 * 1024) })
    proxy.decide = ({ method, path: url }): Fate =>
      method === 'PUT' && url.includes('partNumber=2')
        ? { kind: 'answer', status: 500, code: 'InternalError' }
        : PASS
    await assert.rejects(store.upload('large', path.join(folder, 'large')), TransientError)
    assert.deepEqual(await keysOf(direct), [])
    const client = new S3Client({
      endpoint: server.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials,
    })
    const { Uploads } = await client.send(
      new ListMultipartUploadsCommand({ Bucket: 'temper', Prefix: prefix }),
    )
    client.destroy()
    assert.deepEqual(Uploads ?? [], [])
  })

  test('a server that is not there is a failure for the moment', async () => {
    proxy.decide = () => ({ kind: 'cut before' })
    const operations = [
      () => store.head('k'),
      () => store.read('k'),
      () => store.remove('k'),
      () => keysOf(store),
    ]
    for (const operation of operations) await assert.rejects(operation, TransientError)
  })

  const MISTAKES: { name: string; bucket?: string; options: () => S3Options; want: RegExp }[] = [
    {
      name: 'a bucket that does not exist',
      bucket: 'nowhere',
      options: () => ({ credentials }),
      want: /bucket nowhere at http.* does not exist; create it/,
    },
    {
      name: 'no right to write',
      options: () => ({ credentials: server.reader }),
      want: /refuses access; allow these credentials/,
    },
    {
      name: 'a wrong secret',
      options: () => ({ credentials: { ...credentials, secretAccessKey: 'wrong' } }),
      want: /does not accept the credentials \(SignatureDoesNotMatch\)/,
    },
    {
      name: 'an unknown key',
      options: () => ({ credentials: { ...credentials, accessKeyId: 'UNKNOWN' } }),
      want: /does not accept the credentials \(InvalidAccessKeyId\)/,
    },
  ]
  for (const { name, bucket = 'temper', options, want } of MISTAKES) {
    test(`the probe says what to mend: ${name}`, async () => {
      const s3 = { endpoint: server.endpoint, ...options() }
      await assert.rejects(probeStore(await openStore(`s3://${bucket}/p`, { s3 })), (error) => {
        assert.ok(error instanceof InputError, String(error))
        assert.match(error.message, want)
        assert.ok(!error.message.includes(credentials.secretAccessKey))
        return true
      })
    })
  }

  test('a trainer killed at any request leaves a checkpoint that it had been told of, or the one after', async (t) => {
    const random = seededRandom(SEED)
    const folder = await folderWith(t, { 'one.bin': randomContent(50_000) })
    const changes = ({ method }: SeenRequest) => method !== 'GET' && method !== 'HEAD'
    const run = async (name: string, at: number, fate: Fate) => {
      let count = 0
      let kill = (): unknown => undefined
      proxy.decide = (seen) => {
        if (!changes(seen) || ++count !== at) return PASS
        // The process dies with the request on its way: before the server heard it, or after it was done.
        if (fate.kind === 'cut before') kill()
        else setTimeout(kill, 20)
        return fate
      }
      const environment = { S3_OPTIONS: JSON.stringify({ endpoint: proxy.endpoint, credentials }) }
      const uri = `s3://temper/${prefix}/${name}`
      const scenario = { name: 'checkpoint', uri, folder, environment }
      const child = runScenario(scenario, { start: (process) => (kill = () => process.kill('SIGKILL')) })
      return { ...(await child), count }
    }
    const whole = await run('whole', 0, PASS)
    assert.equal(whole.said.at(-1), 'saved 30')
    for (let death = 0; death < 4; death++) {
      const at = 1 + Math.floor(random() * whole.count)
      const fate: Fate = random() < 0.5 ? { kind: 'cut before' } : { kind: 'cut after' }
      const { said, signal } = await run(`death-${death}`, at, fate)
      const where = `SEED=${SEED}: ${fate.kind} change ${at} of ${whole.count}, ${said.join(', ')}`
      assert.equal(signal, 'SIGKILL', where)
      proxy.decide = () => PASS
      const s3 = { endpoint: server.endpoint, credentials }
      const left = await openStore(`s3://temper/${prefix}/death-${death}`, { s3 })
      const lease = await acquireLease(left, 'job', 'a2')
      const { checkpoint, quarantined } = await latestCheckpoint(left, lease, PREFIX, await scratchFolder(t))
      const told = Number(said.findLast((line) => line.startsWith('saved'))?.split(' ')[1] ?? 0)
      assert.ok([told, told + 10].includes(checkpoint?.step ?? 0), where)
      assert.deepEqual(quarantined, [], where)
    }
  })
})
