import assert from 'node:assert/strict'
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import { describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { commitArtifact, findArtifact, openArtifact, stageDigest } from '../../src/store/artifact.ts'
import { latestCheckpoint, saveCheckpoint } from '../../src/store/checkpoints.ts'
import { acquireLease } from '../../src/store/lease.ts'
import { currentVersion, listVersions, publishVersion } from '../../src/store/model-registry.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { runScenario, seededRandom } from './support/run-scenario.ts'
import { IDENTITY, PREFIX } from './support/scenario.ts'
import { folderWith, keysOf, randomContent, scratchFolder, textOf } from './support/scratch.ts'

/**
 * A process is killed with SIGKILL before any call that changes the disk, or in the middle of its bytes; then another one looks at
 * what is left and goes on. A run takes a seeded sample of all places (EVERY_BOUNDARY=1: all of them).
 */
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32))
const EVERY = process.env['EVERY_BOUNDARY'] === '1'
const SAMPLE = 6

type Verify = (t: TestContext, store: Store, said: string[], folder: string) => Promise<void>

/** What was said to be done must be there, and the work can be done again by another attempt. */
const SCENARIOS: Record<string, Verify> = {
  async register(_, store, said) {
    const key = 'r/pointer.json'
    const now = await textOf(store, key)
    const told = said.length === 0 ? -1 : Number(said.at(-1)?.split(' ')[1])
    const possible = [told, told + 1].map((value) => (value < 0 ? undefined : `value ${value}`))
    assert.ok(possible.includes(now), `${now} is there, ${said.at(-1)} was told`)
    const seen = await store.head(key)
    await store.write(
      key,
      'next',
      seen === undefined ? { kind: 'absent' } : { kind: 'matches', etag: seen.etag },
    )
    assert.equal(await textOf(store, key), 'next')
    assert.deepEqual(await keysOf(store), [key])
  },
  async artifact(t, store, said, folder) {
    const digest = stageDigest(IDENTITY)
    const found = await findArtifact(store, { stage: IDENTITY.stage, digest })
    if (said.length > 0) assert.ok(found)
    const manifest = await commitArtifact(store, { ...IDENTITY, digest, attempt: 'a2' }, folder, { files: 2 })
    assert.equal(manifest.attempt, found === undefined ? 'a2' : 'a1')
    const { dir } = await openArtifact(store, manifest, await scratchFolder(t))
    for (const { name } of manifest.files) {
      assert.deepEqual(await readFile(path.join(dir, name)), await readFile(path.join(folder, name)))
    }
  },
  async checkpoint(t, store, said, folder) {
    const told = Number(said.findLast((line) => line.startsWith('saved'))?.split(' ')[1] ?? 0)
    const lease = await acquireLease(store, 'job', 'a2')
    const cache = await scratchFolder(t)
    const { checkpoint, quarantined } = await latestCheckpoint(store, lease, PREFIX, cache)
    assert.deepEqual(quarantined, [])
    const step = checkpoint?.step ?? 0
    assert.ok(step === told || step === told + 10, `step ${step} is there, ${told} was told`)
    const files = [{ name: 'one.bin', path: path.join(folder, 'one.bin') }]
    if (checkpoint !== undefined) {
      assert.deepEqual(
        await readFile(path.join(checkpoint.dir, 'one.bin')),
        await readFile(files[0]?.path ?? ''),
      )
    }
    await saveCheckpoint(store, lease, PREFIX, step + 10, files, {}, { keepLast: 1 })
    assert.equal((await latestCheckpoint(store, lease, PREFIX, cache)).checkpoint?.step, step + 10)
    // Whatever the killed one left half done is gone: one checkpoint, of a file and a manifest.
    assert.equal((await keysOf(store, `${PREFIX}/checkpoints/`)).length, 2)
  },
  async publish(_, store, said, folder) {
    const before = await listVersions(store, 'bot')
    if (said.length > 0) assert.equal((await currentVersion(store, 'bot'))?.version, 1)
    const publication = { contentKey: 'k', attempt: 'a2', folder, summary: 0 }
    const { version, created } = await publishVersion(store, 'bot', publication)
    assert.deepEqual({ version, created }, { version: 1, created: before.length === 0 })
    assert.equal((await currentVersion(store, 'bot'))?.version, 1)
    assert.equal((await listVersions(store, 'bot')).length, 1)
  },
}

describe(`a writer killed at its boundaries (SEED=${SEED})`, { concurrency: 2 }, () => {
  for (const [index, [name, verify]] of Object.entries(SCENARIOS).entries()) {
    test(name, async (t) => {
      const folder = await folderWith(t, { 'one.bin': randomContent(50_000), 'two.txt': 'two' })
      const open = async () => pathToFileURL(await scratchFolder(t)).href
      const whole = await runScenario({ name, uri: await open(), folder, preload: 'die-at.ts' })
      const calls = Number(/^calls ([0-9]+)$/.exec(whole.said.at(-1) ?? '')?.[1])
      assert.ok(calls > 20 && whole.code === 0, whole.said.join('; '))

      const random = seededRandom(SEED + index)
      const places = Array.from({ length: calls }, (_, call) => call + 1)
      const deaths = places.flatMap((call) => ['before', 'half'].map((how) => ({ call, how })))
      const chosen = EVERY
        ? deaths
        : Array.from({ length: SAMPLE }, () => deaths[Math.floor(random() * deaths.length)])
      for (const death of chosen) {
        assert.ok(death)
        const { call, how } = death
        const uri = await open()
        const environment = { DIE_AT: String(call), DIE_HOW: how }
        const { said, signal } = await runScenario({ name, uri, folder, environment, preload: 'die-at.ts' })
        assert.equal(signal, 'SIGKILL', `call ${call} of ${calls}`)
        try {
          const store = await openStore(uri)
          assert.deepEqual(
            await readdir(path.join(new URL(uri).pathname, '~tmp')),
            [],
            'what the dead left is swept',
          )
          await verify(t, store, said, folder)
        } catch (error) {
          throw new Error(`${name}, SEED=${SEED}: killed ${how} call ${call} of ${calls}`, { cause: error })
        }
      }
    })
  }
})
