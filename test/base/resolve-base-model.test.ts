import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, beforeEach, test } from 'node:test'
import { resolveBaseModel, type ResolveOptions } from '../../src/base/resolve-base-model.ts'
import { CorruptError, InputError, TransientError } from '../../src/errors.ts'
import { startTestHub, type TestHub } from './hub-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'temper-hub-'))
const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 3))
const files = {
  'config.json': Buffer.from('{"model_type":"llama"}'),
  'tokenizer.json': Buffer.from('{"model":{}}'),
  'model.safetensors': weights,
  'README.md': Buffer.from('not fetched'),
  'pytorch_model.bin': Buffer.from('never fetched'),
  'onnx/model.onnx': Buffer.from('never fetched'),
  '../../escaped.json': Buffer.from('never fetched'),
}
let hub: TestHub
let cacheDir: string

beforeEach(async () => {
  hub = await startTestHub({ name: 'owner/model', files })
  cacheDir = mkdtempSync(join(folder, 'cache-'))
})
afterEach(() => hub.close())
after(() => rmSync(folder, { recursive: true }))

const resolve = (options: Partial<ResolveOptions> = {}, source = 'hf://owner/model') =>
  resolveBaseModel(source, { cacheDir, endpoint: hub.endpoint, ...options })
const stored = () => hub.requests.filter(({ path }) => /^\/[0-9a-f]{64}$/.test(path))

test('a model comes as a whole, its revision as a commit, and only the files that make it', async () => {
  const seen: number[] = []
  const model = await resolve({ progress: ({ received }) => seen.push(received) })
  assert.equal(model.revision, hub.commit)
  assert.deepEqual(readdirSync(model.path).sort(), [
    'complete.json',
    'config.json',
    'model.safetensors',
    'tokenizer.json',
  ])
  assert.deepEqual(readFileSync(join(model.path, 'model.safetensors')), weights)
  const total = files['config.json'].length + files['tokenizer.json'].length + weights.length
  assert.equal(seen.at(-1), total)
  assert(!existsSync(join(folder, 'escaped.json')))
})

test('what is there is not fetched again, and a commit is used without asking the hub', async () => {
  const first = await resolve()
  hub.requests.length = 0
  assert.deepEqual(await resolve(), { ...first })
  assert.deepEqual(
    hub.requests.map(({ path }) => path),
    ['/api/models/owner/model/revision/main?blobs=true'],
  )
  hub.requests.length = 0
  assert.deepEqual(await resolve({ revision: hub.commit }), first)
  assert.deepEqual(hub.requests, [])
})

test("the same files in a folder of one's own have the same digest", async () => {
  const { digest } = await resolve()
  const own = join(folder, 'own')
  mkdirSync(own)
  for (const name of ['config.json', 'tokenizer.json', 'model.safetensors'] as const)
    writeFileSync(join(own, name), files[name])
  writeFileSync(join(own, 'notes.txt'), 'does not count')
  assert.equal((await resolve({}, own)).digest, digest)
  writeFileSync(join(own, 'config.json'), '{}')
  assert.notEqual((await resolve({}, own)).digest, digest)
})

test('a connection that is cut twice is resumed at the byte where it was cut', async () => {
  hub.cuts = [100_000, 50_000]
  const { path } = await resolve()
  assert.deepEqual(readFileSync(join(path, 'model.safetensors')), weights)
  const ranges = stored().map(({ range }) => Number(/\d+/.exec(range ?? 'bytes=0-')?.[0]))
  const [first = NaN, second = NaN, third = NaN] = ranges
  assert(ranges.length === 3 && first === 0 && second > 0 && third > second, String(ranges))
})

test('a download that failed for good is resumed by the next try', async () => {
  hub.cuts = [100_000]
  hub.statuses = []
  const controller = new AbortController()
  const aborted = resolve({
    signal: controller.signal,
    progress: ({ received }) => received > 60_000 && controller.abort(new Error('the user stopped')),
  })
  await assert.rejects(aborted, /the user stopped/)
  hub.cuts = []
  hub.requests.length = 0
  const { path } = await resolve()
  assert.deepEqual(readFileSync(join(path, 'model.safetensors')), weights)
  assert.match(stored()[0]?.range ?? '', /^bytes=[1-9]/)
})

test('a mirror without ranges begins anew and still ends right', async () => {
  hub.withoutRanges = true
  hub.cuts = [100_000]
  const { path } = await resolve()
  assert.deepEqual(readFileSync(join(path, 'model.safetensors')), weights)
})

test("an earlier try's damaged piece is found out and fetched again", async () => {
  const place = join(cacheDir, 'models--owner--model', hub.commit)
  mkdirSync(place, { recursive: true })
  writeFileSync(join(place, 'model.safetensors.part'), Buffer.alloc(1000, 9))
  const { path } = await resolve()
  assert.deepEqual(readFileSync(join(path, 'model.safetensors')), weights)
})

test('a server error is tried again, and given up after some tries in a row', async () => {
  hub.statuses = [503, 502]
  await resolve()
  rmSync(join(cacheDir, 'models--owner--model'), { recursive: true })
  hub.statuses = [500, 500, 500, 500]
  await assert.rejects(
    resolve(),
    (error) => error instanceof TransientError && /answers 500/.test(error.message),
  )
})

test('other bytes than the hub announced are thrown away', async () => {
  hub.corrupt = true
  await assert.rejects(resolve(), CorruptError)
  assert.deepEqual(readdirSync(join(cacheDir, 'models--owner--model', hub.commit)).sort(), [
    'config.json',
    'tokenizer.json',
  ])
})

test('the token goes to the hub alone, never to where it sends the reader', async () => {
  hub.token = 'hf_secret'
  await assert.rejects(resolve(), (error) => {
    assert(error instanceof InputError)
    assert.match(error.message, /the hub refuses access \(401\); set HF_TOKEN/)
    return true
  })
  hub.requests.length = 0
  await resolve({ token: 'hf_secret' })
  assert(stored().length > 0 && stored().every(({ authorization }) => authorization === undefined))
  await assert.rejects(resolve({ token: 'hf_wrong' }), (error) => {
    assert(error instanceof InputError && !error.message.includes('hf_wrong'))
    return true
  })
})

test('a hub that is out of reach is a transient failure, said at once', async () => {
  const address = hub.endpoint
  await hub.close()
  await assert.rejects(resolve({ endpoint: address }), (error) => {
    assert(error instanceof TransientError)
    assert.match(error.message, /127\.0\.0\.1:\d+ cannot be reached: .*ECONNREFUSED/)
    return true
  })
  hub = await startTestHub({ name: 'owner/model', files })
})

test('a hub whose commit is a path is refused', async () => {
  await hub.close()
  hub = await startTestHub({ name: 'owner/model', files, sha: '../../../etc' })
  await assert.rejects(resolve(), /does not answer as a Hugging Face hub does/)
})

test('a model that is a pickle only is refused', async () => {
  await hub.close()
  hub = await startTestHub({
    name: 'owner/model',
    files: { 'config.json': Buffer.from('{}'), 'pytorch_model.bin': Buffer.from('x') },
  })
  await assert.rejects(resolve(), /has its weights only as a pickle/)
})

test('a proxy of the environment is used', async () => {
  const asked: string[] = []
  const proxy = createServer((incoming, outgoing) => {
    asked.push(incoming.url ?? '')
    request(incoming.url ?? '', { headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(outgoing)
    }).end()
  })
  await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening))
  const before = { http_proxy: process.env.http_proxy, no_proxy: process.env.no_proxy }
  process.env.http_proxy = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  process.env.no_proxy = ''
  try {
    await resolve()
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    proxy.closeAllConnections()
    proxy.close()
  }
  assert.equal(asked[0], `${hub.endpoint}/api/models/owner/model/revision/main?blobs=true`)
})

for (const { source, options = {}, want } of [
  { source: 'hf://owner', want: /must read hf:\/\/owner\/name/ },
  { source: 'hf://../..', want: /must read hf:\/\/owner\/name/ },
  { source: 'hf://owner/absent', want: /the hub has no such thing; check the name and the revision/ },
  {
    source: 'hf://owner/model',
    options: { revision: 'absent' },
    want: /at revision "absent": the hub has no such thing/,
  },
  {
    source: 'hf://owner/model@v1',
    options: { revision: 'v2' },
    want: /names the revision v1 but model.revision is v2/,
  },
  { source: 's3://bucket/model', want: /name a folder, a \.gguf file, hf:\/\/owner\/name/ },
  { source: '/absent/model', want: /there is no such folder or file/ },
  { source: folder, options: { revision: 'main' }, want: /has no revision; remove model\.revision/ },
  { source: 'hf://owner/model', options: { endpoint: 'hub' }, want: /HF_ENDPOINT is "hub"/ },
])
  test(`refused: ${source} ${JSON.stringify(options).replace(folder, '')}`, async () => {
    await assert.rejects(resolve(options, source), (error) => {
      assert(error instanceof InputError)
      assert.match(error.message, want)
      return true
    })
  })
