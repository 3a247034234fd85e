import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { latestCheckpoint, saveCheckpoint } from '../../src/store/checkpoints.ts'
import { acquireLease } from '../../src/store/lease.ts'
import { openStore } from '../../src/store/open-store.ts'
import { temporaryFiles } from '../../src/store/temporary-files.ts'
import { runScenario } from './support/run-scenario.ts'
import { PREFIX } from './support/scenario.ts'
import { folderWith, keysOf, scratchFolder, textOf } from './support/scratch.ts'

test('no increment of several processes is lost, however many generations come and go', async (t) => {
  const root = await scratchFolder(t)
  const uri = pathToFileURL(root).href
  const processes = Array.from({ length: 3 }, () => runScenario({ name: 'counter', uri, folder: root }))
  for (const { code, said } of await Promise.all(processes)) assert.equal(code, 0, said.join('; '))
  const store = await openStore(uri)
  assert.equal(await textOf(store, 'counter'), '45')
  assert.deepEqual(await keysOf(store), ['counter'])
  // People and other tools see the newest value as a plain file; old generations do not pile up.
  assert.equal(await readFile(path.join(root, 'counter'), 'utf8'), '45')
  assert.ok((await readdir(path.join(root, 'counter~'))).length <= 20)
  assert.deepEqual(await readdir(path.join(root, '~tmp')), [])
})

test('a trainer that was stopped, overtaken and let go on is fenced and has moved nothing', async (t) => {
  const root = await scratchFolder(t)
  const uri = pathToFileURL(root).href
  const folder = await folderWith(t, { 'one.bin': 'state' })
  const store = await openStore(uri)
  const saves: string[] = []
  let zombie: ChildProcess | undefined
  const ended = runScenario(
    { name: 'trainer', uri, folder, attempt: 'a1' },
    { start: (child) => (zombie = child), line: (line) => saves.push(line) },
  )
  while (saves.length < 3) await pause(5)
  zombie?.kill('SIGSTOP')
  const lease = await acquireLease(store, 'job', 'a2')
  const cache = await scratchFolder(t)
  const { checkpoint } = await latestCheckpoint(store, lease, PREFIX, cache)
  const step = (checkpoint?.step ?? 0) + 1
  await saveCheckpoint(
    ...([store, lease, PREFIX, step] as const),
    [{ name: 'one.bin', path: path.join(folder, 'one.bin') }],
    { by: 'the new owner' },
    { keepLast: 2 },
  )
  zombie?.kill('SIGCONT')
  const { said, code } = await ended
  assert.equal(code, 1)
  assert.match(said.at(-1) ?? '', /^FencedError: attempt a1 /)
  const after = (await latestCheckpoint(store, lease, PREFIX, cache)).checkpoint
  assert.deepEqual([after?.step, after?.epoch, after?.meta], [step, 2, { by: 'the new owner' }])
})

test('opening a store removes what dead processes left, and nothing of living ones', async (t) => {
  const root = await scratchFolder(t)
  const mine = temporaryFiles(root)
  await mkdir(mine.folder)
  const living = path.basename(mine.next())
  const [machine, pid, start] = living.split('.')
  const dead = spawn(process.execPath, ['-e', ''])
  await new Promise((resolve) => dead.once('exit', resolve))
  const names = {
    living,
    dead: `${machine}.${dead.pid}.${start}.abc`,
    'an earlier process of the same id': `${machine}.${pid}.1.abc`,
    'of another machine': `0123456789ab.${dead.pid}.${start}.abc`,
  }
  for (const name of Object.values(names)) await writeFile(path.join(mine.folder, name), 'half')
  await mkdir(path.join(mine.folder, `${machine}.${dead.pid}.${start}.folder`))
  await openStore(pathToFileURL(root).href)
  assert.deepEqual((await readdir(mine.folder)).toSorted(), [living, names['of another machine']].toSorted())
})

test('a writer that slept while its turn came and went withdraws', async (t) => {
  const root = await scratchFolder(t)
  const uri = pathToFileURL(root).href
  const store = await openStore(uri)
  let { etag } = await store.write('p', '1', { kind: 'absent' })
  etag = (await store.write('p', '2', { kind: 'matches', etag })).etag

  // It has seen generation 2 and stops right before it links generation 3.
  let sleeper: ChildProcess | undefined
  let asleep = false
  const environment = { DIE_AT: '1', DIE_ONLY: 'link', DIE_HOW: 'stop' }
  const ended = runScenario(
    { name: 'swap', uri, folder: root, environment, preload: 'die-at.ts' },
    { start: (child) => (sleeper = child), line: (line) => (asleep ||= line === 'stopping') },
  )
  while (!asleep) await pause(5)
  for (let value = 3; value < 40; value++) {
    etag = (await store.write('p', String(value), { kind: 'matches', etag })).etag
  }
  assert.ok(
    !(await readdir(path.join(root, 'p~'))).includes('3'),
    'generation 3 was removed, so its name is free',
  )
  sleeper?.kill('SIGCONT')
  const { said } = await ended
  assert.match(said.join(), /ConflictError/)
  assert.ok(!(await readdir(path.join(root, 'p~'))).includes('3'))
  assert.equal(await textOf(store, 'p'), '39')
  assert.equal((await store.head('p'))?.etag, etag)
})
