import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { oomKillCount } from '../../src/failures/cgroup-memory.ts'

function machine(
  t: { after: (cleanup: () => void) => void },
  files: Record<string, string>,
): [string, string] {
  const root = mkdtempSync(join(tmpdir(), 'temper-cgroup-'))
  t.after(() => rmSync(root, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return [root, join(root, 'self')]
}

test("version 2: the process's own group counts", (t) => {
  const place = machine(t, {
    self: '0::/pod/worker\n',
    'pod/worker/memory.events': 'low 0\nhigh 2\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n',
    'memory.events': 'oom_kill 50\n',
  })
  assert.equal(oomKillCount(...place), 3)
})

test('version 2 inside a container: its group is the root', (t) => {
  assert.equal(
    oomKillCount(...machine(t, { self: '0::/../elsewhere\n', 'memory.events': 'oom 1\noom_kill 1\n' })),
    1,
  )
})

test('version 1, also beside an empty version 2', (t) => {
  const place = machine(t, {
    self: '4:cpuset:/x\n3:memory:/job\n0::/\n',
    'memory/job/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 7\n',
  })
  assert.equal(oomKillCount(...place), 7)
})

test('a machine without control groups: nothing is known', (t) => {
  assert.equal(oomKillCount(...machine(t, { other: '' })), undefined)
})
