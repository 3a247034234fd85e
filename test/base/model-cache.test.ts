import assert from 'node:assert/strict'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { resolveBaseModel } from '../../src/base/resolve-base-model.ts'
import { findStoredModel, storeModel } from '../../src/base/stored-model.ts'
import { CorruptError } from '../../src/errors.ts'
import { openStore } from '../../src/store/open-store.ts'
import { startTestHub, startTestModelScope } from './hub-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'temper-model-cache-'))
after(() => rmSync(folder, { recursive: true }))
const fresh = (name: string) => mkdtempSync(join(folder, name))
const model = (byte: number) => ({
  'config.json': Buffer.from('{"model_type":"llama"}'),
  'model.safetensors': Buffer.alloc(200_000, byte),
})
const asked = (requests: readonly { path: string }[]) =>
  requests.filter(({ path }) => /^\/[0-9a-f]{64}$/.test(path)).length

test('ten workers that share a folder fetch a model once', async () => {
  const hub = await startTestHub({ name: 'owner/model', files: model(1) })
  const cacheDir = fresh('shared-')
  const all = await Promise.all(
    Array.from({ length: 10 }, () =>
      resolveBaseModel('hf://owner/model', { cacheDir, endpoint: hub.endpoint }),
    ),
  )
  await hub.close()
  assert.equal(new Set(all.map(({ digest }) => digest)).size, 1)
  assert.equal(asked(hub.requests), 1)
  assert.deepEqual(
    readdirSync(join(cacheDir, 'models--owner--model')).filter((name) => name.includes('.lock')),
    [],
  )
})

test('a lock whose holder is gone is taken over', async () => {
  const hub = await startTestHub({ name: 'owner/model', files: model(1) })
  const cacheDir = fresh('dead-')
  const first = await resolveBaseModel('hf://owner/model', { cacheDir, endpoint: hub.endpoint })
  rmSync(first.path, { recursive: true })
  // Nobody beats it. What stands for half a minute is the test's clock.
  writeFileSync(`${first.path}.lock`, '')
  const { now } = performance
  let passed = 0
  performance.now = () => now.call(performance) + (passed += 20_000)
  try {
    const again = await resolveBaseModel('hf://owner/model', { cacheDir, endpoint: hub.endpoint })
    assert.equal(again.digest, first.digest)
  } finally {
    performance.now = now
    await hub.close()
  }
})

test('what was used longest ago makes room, and what is in use stays', async () => {
  const cacheDir = fresh('small-')
  const take = async (name: string, byte: number) => {
    const hub = await startTestHub({ name, files: model(byte) })
    const { path } = await resolveBaseModel(`hf://${name}`, {
      cacheDir,
      endpoint: hub.endpoint,
      cacheBytes: 500_000,
    })
    await hub.close()
    return path
  }
  const used = (path: string, hoursAgo: number) => {
    const time = new Date(Date.now() - hoursAgo * 3_600_000)
    utimesSync(join(path, 'complete.json'), time, time)
  }
  const [a, b] = [await take('o/a', 1), await take('o/b', 2)]
  used(a, 5)
  used(b, 9)
  const c = await take('o/c', 3)
  assert.deepEqual([a, b, c].map(existsSync), [true, false, true])
  // All that is left is in use: the limit is passed.
  used(a, 0)
  const d = await take('o/d', 4)
  assert.deepEqual([a, c, d].map(existsSync), [true, true, true])
})

test('a file that somebody has changed is found out by its digest, and fetched again', async () => {
  const hub = await startTestHub({ name: 'owner/model', files: model(1) })
  const cacheDir = fresh('changed-')
  const take = () => resolveBaseModel('hf://owner/model', { cacheDir, endpoint: hub.endpoint })
  const { path, digest } = await take()
  const weights = join(path, 'model.safetensors')
  writeFileSync(weights, Buffer.alloc(200_000, 9))
  assert.equal((await take()).digest, digest)
  assert.equal(readFileSync(weights)[0], 1)
  assert.equal(asked(hub.requests), 2)
  // Touched, but the same bytes: nothing is fetched.
  utimesSync(weights, new Date(0), new Date(0))
  await take()
  assert.equal(asked(hub.requests), 2)
  await hub.close()
})

test('a model is copied into the store once, resumes where it was cut off, and comes from there without the hub', async () => {
  const hub = await startTestHub({ name: 'owner/model', files: model(1) })
  const store = await openStore(pathToFileURL(fresh('store-')).href)
  const identity = await resolveBaseModel('hf://owner/model', {
    cacheDir: fresh('first-'),
    endpoint: hub.endpoint,
  })
  await hub.close()
  const { files = [], digest, source } = identity
  const uploads: string[] = []
  let cut = true
  const counting = Object.assign(Object.create(store) as typeof store, {
    upload: async (key: string, path: string) => {
      if (cut && path.endsWith('model.safetensors')) throw new Error('cut')
      uploads.push(path)
      return store.upload(key, path)
    },
  })
  const copy = () => storeModel(counting, { ...identity, files })
  await assert.rejects(copy(), /cut/)
  assert.equal(await findStoredModel(store, digest), undefined, 'half a copy is none')
  cut = false
  await Promise.all([copy(), copy()])
  await copy()
  assert.equal(uploads.filter((path) => path.endsWith('config.json')).length, 1)
  const known = { digest, store }
  const { revision } = identity
  const there = await resolveBaseModel(source, {
    ...(revision !== undefined && { revision }),
    known,
    cacheDir: fresh('other-node-'),
    endpoint: hub.endpoint,
  })
  assert.equal(there.digest, digest)
  // Damaged in the store: nobody trains on it.
  const weights = files.find(({ name }) => name === 'model.safetensors')
  const stored = store.localPath(`base-models/files/${weights?.sha256}`) ?? ''
  writeFileSync(stored, Buffer.alloc(statSync(stored).size, 7))
  await assert.rejects(
    resolveBaseModel(source, {
      ...(revision !== undefined && { revision }),
      known,
      cacheDir: fresh('third-node-'),
      endpoint: hub.endpoint,
    }),
    CorruptError,
  )
})

test('a model comes from ModelScope, checked, with its token', async () => {
  const scope = await startTestModelScope({ name: 'owner/model', files: model(5) })
  const hub = await startTestHub({ name: 'owner/model', files: model(5) })
  const cacheDir = fresh('scope-')
  const take = () =>
    resolveBaseModel('ms://owner/model', {
      cacheDir,
      modelScopeEndpoint: scope.endpoint,
      modelScopeToken: 'secret',
    })
  const { digest, revision } = await take()
  assert.equal(revision, 'master')
  const same = await resolveBaseModel('hf://owner/model', { cacheDir: fresh('hf-'), endpoint: hub.endpoint })
  assert.equal(digest, same.digest, 'the same bytes, wherever they come from')
  const before = scope.requests.length
  await take()
  assert.equal(scope.requests.length, before + 1, 'the list alone is asked for again')
  assert(scope.requests.every(({ cookie }) => cookie === 'm_session_id=secret'))
  await Promise.all([scope.close(), hub.close()])
})
