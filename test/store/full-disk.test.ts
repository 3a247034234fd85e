import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { InputError } from '../../src/errors.ts'
import { commitArtifact, findArtifact, stageDigest } from '../../src/store/artifact.ts'
import { latestCheckpoint, saveCheckpoint } from '../../src/store/checkpoints.ts'
import { acquireLease } from '../../src/store/lease.ts'
import { openStore } from '../../src/store/open-store.ts'
import { folderWith, keysOf, randomContent, scratchFolder, textOf } from './support/scratch.ts'

const run = promisify(execFile)

/** A file system of one megabyte, or undefined where this user may not mount one. */
async function smallDisk(t: TestContext): Promise<string | undefined> {
  const folder = await mkdtemp(path.join(tmpdir(), 'temper-disk-'))
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]).then(
    () => true,
    () => false,
  )
  t.after(async () => {
    if (mounted) await run('umount', [folder])
    await rm(folder, { recursive: true })
  })
  return mounted ? folder : undefined
}

function saysFull(error: unknown): boolean {
  assert.ok(error instanceof InputError, String(error))
  assert.match(
    error.message,
    /^the disk of .* is full, [0-9]+ MB free \(writing .*\); free space there or choose another place$/,
  )
  return true
}

test('a full disk is said, nothing half-written is to be seen, and all goes on when there is space', async (t) => {
  const disk = await smallDisk(t)
  if (disk === undefined) return t.skip('this user may not mount a small file system')
  const store = await openStore(pathToFileURL(disk).href)
  const lease = await acquireLease(store, 'job', 'a1')
  const prefix = 'jobs/job/training/d'
  const small = await folderWith(t, { 'state.bin': randomContent(100_000) })
  const large = await folderWith(t, { 'a.bin': randomContent(300_000), 'b.bin': randomContent(900_000) })
  const files = [{ name: 'state.bin', path: path.join(small, 'state.bin') }]
  await saveCheckpoint(store, lease, prefix, 10, files, {}, { keepLast: 1 })

  const identity = { stage: 'merge', version: 1, inputs: {}, settings: {} }
  const commit = (attempt: string, folder: string) =>
    commitArtifact(store, { ...identity, digest: stageDigest(identity), attempt }, folder, 0)
  await assert.rejects(commit('a1', large), saysFull)
  assert.equal(await findArtifact(store, { stage: 'merge', digest: stageDigest(identity) }), undefined)
  assert.deepEqual(await readdir(path.join(disk, '~tmp')), [])

  // Not a byte is left: neither pointers nor checkpoints can be written, and those that are there stay as they are.
  const filler = path.join(disk, 'filler')
  await writeFile(filler, Buffer.alloc(2_000_000)).catch(() => undefined)
  const pointer = await textOf(store, `${prefix}/latest.json`)
  await assert.rejects(saveCheckpoint(store, lease, prefix, 20, files, {}, { keepLast: 1 }), saysFull)
  await assert.rejects(acquireLease(store, 'job', 'a2'), saysFull)
  assert.equal(await textOf(store, `${prefix}/latest.json`), pointer)
  await lease.check()
  assert.deepEqual(await readdir(path.join(disk, '~tmp')), [])

  await rm(filler)
  for (const key of await keysOf(store, 'artifacts/')) await store.remove(key)
  const { checkpoint } = await latestCheckpoint(store, lease, prefix, await scratchFolder(t))
  assert.equal(checkpoint?.step, 10)
  await saveCheckpoint(store, lease, prefix, 20, files, {}, { keepLast: 1 })
  await commit('a2', small)
})

test('a limit on the size of files is said in the same way', async (t) => {
  const root = await scratchFolder(t)
  const folder = await folderWith(t, { 'large.bin': randomContent(600_000) })
  const script = `
    import { openStore } from ${JSON.stringify(new URL('../../src/store/open-store.ts', import.meta.url).href)}
    const store = await openStore(${JSON.stringify(pathToFileURL(root).href)})
    await store.upload('large.bin', ${JSON.stringify(path.join(folder, 'large.bin'))}).then(
      () => console.log('uploaded'),
      (error) => console.log(error.name, error.message),
    )`
  const shell = `ulimit -f 100 && exec "$0" --input-type=module-typescript -e "$1"`
  const { stdout } = await run('bash', ['-c', shell, process.execPath, script])
  assert.match(
    stdout,
    /^InputError a file in .* became larger than its limit allows \(writing large.bin\); raise/,
  )
  const store = await openStore(pathToFileURL(root).href)
  assert.deepEqual(await keysOf(store), [])
  assert.deepEqual(await readdir(path.join(root, '~tmp')), [])
})
