import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { memoryLimit } from '../../src/train/memory-limit.ts'

const MACHINE = 32e9

for (const { name, own, files, want } of [
  {
    name: "version 2: a pod's limit above the container's group",
    own: '0::/kubepods/pod1/c1\n',
    files: { 'kubepods/pod1/c1/memory.max': 'max\n', 'kubepods/pod1/memory.max': '8589934592\n' },
    want: { bytes: 8_589_934_592, of: 'container' },
  },
  {
    name: 'version 2: the lowest of several',
    own: '0::/a/b\n',
    files: { 'a/b/memory.max': '9000000000\n', 'a/memory.max': '4000000000\n' },
    want: { bytes: 4e9, of: 'container' },
  },
  {
    name: 'version 2 inside a container: its group is the root',
    own: '0::/\n',
    files: { 'memory.max': '2000000000\n' },
    want: { bytes: 2e9, of: 'container' },
  },
  {
    name: 'version 1, its group mounted as the root',
    own: '11:cpu,cpuacct:/x\n9:memory:/kubepods/pod1/c1\n',
    files: { 'memory/memory.limit_in_bytes': '3000000000\n' },
    want: { bytes: 3e9, of: 'container' },
  },
  {
    name: 'version 1 without a limit',
    own: '9:memory:/kubepods/c1\n',
    files: { 'memory/kubepods/c1/memory.limit_in_bytes': '9223372036854771712\n' },
    want: { bytes: MACHINE, of: 'machine' },
  },
  {
    name: 'a limit above the machine',
    own: '0::/\n',
    files: { 'memory.max': '64000000000\n' },
    want: { bytes: MACHINE, of: 'machine' },
  },
  { name: 'no control groups', own: '', files: {}, want: { bytes: MACHINE, of: 'machine' } },
])
  test(`the memory limit, ${name}`, () => {
    const root = mkdtempSync(join(tmpdir(), 'temper-memory-limit-'))
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, file)), { recursive: true })
      writeFileSync(join(root, file), text)
    }
    writeFileSync(join(root, 'own'), own)
    assert.deepEqual(memoryLimit(root, join(root, 'own'), MACHINE), want)
  })
