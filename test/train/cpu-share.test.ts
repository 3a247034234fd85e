import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { cpuShare } from '../../src/train/cpu-share.ts'
import { instructionSet } from '../../src/onnx/instruction-set.ts'

const MODULE = fileURLToPath(new URL('../../src/train/cpu-share.ts', import.meta.url))

function machine(
  t: { after: (cleanup: () => void) => void },
  files: Record<string, string>,
): [string, string] {
  const root = mkdtempSync(join(tmpdir(), 'temper-cpu-'))
  t.after(() => rmSync(root, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return [root, join(root, 'self')]
}

const MACHINES: { name: string; files: Record<string, string>; want: number }[] = [
  { name: 'no control groups', files: {}, want: 16 },
  { name: 'version 2, no limit', files: { self: '0::/a\n', 'a/cpu.max': 'max 100000\n' }, want: 16 },
  { name: 'version 2', files: { self: '0::/a/b\n', 'a/b/cpu.max': '400000 100000\n' }, want: 4 },
  {
    name: 'version 2, the limit of the group above',
    files: { self: '0::/a/b\n', 'a/b/cpu.max': 'max 100000\n', 'a/cpu.max': '200000 100000\n' },
    want: 2,
  },
  {
    name: 'version 2 in a container: its group is the root',
    files: { self: '0::/../x\n', 'cpu.max': '150000 50000\n' },
    want: 3,
  },
  {
    name: 'version 1, cpu and cpuacct together',
    files: {
      self: '3:cpu,cpuacct:/job\n0::/\n',
      'cpu,cpuacct/job/cpu.cfs_quota_us': '250000\n',
      'cpu,cpuacct/job/cpu.cfs_period_us': '100000\n',
    },
    want: 2,
  },
  {
    name: 'version 1 without a limit',
    files: { self: '1:cpu:/\n', 'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n' },
    want: 16,
  },
  { name: 'half a core', files: { self: '0::/\n', 'cpu.max': '50000 100000\n' }, want: 1 },
  { name: 'more than there is', files: { self: '0::/\n', 'cpu.max': '6400000 100000\n' }, want: 16 },
]
for (const { name, files, want } of MACHINES)
  test(`threads: ${name}`, (t) => assert.equal(cpuShare(...machine(t, files), 16), want))

/** The mount and the two ways of writing a limit of so many microseconds in 100,000. */
const VERSIONS = [
  { root: '/sys/fs/cgroup/cpu', file: 'cpu.cfs_quota_us', text: (quota: number) => String(quota) },
  { root: '/sys/fs/cgroup', file: 'cpu.max', text: (quota: number) => `${quota} 100000` },
]

test('threads under a real CPU limit: whole cores of it', (t) => {
  const version = VERSIONS.find(({ root, file }) => existsSync(join(root, file)) || existsSync(join(root, 'cgroup.controllers'))) // prettier-ignore
  const group = join(version?.root ?? '/nowhere', `temper-cpu-${process.pid}`)
  try {
    mkdirSync(group)
    // Version 2 shows the file only where the controller is handed down.
    if (version === undefined || !existsSync(join(group, version.file))) throw new Error('no cpu controller')
  } catch (error) {
    if (existsSync(group)) rmdirSync(group)
    return t.skip(`SKIPPED: this user can make no CPU control group here: ${String(error)}`)
  }
  const inside = (quota: number) => {
    writeFileSync(join(group, version.file), version.text(quota))
    const code = `const { cpuShare } = await import(${JSON.stringify(MODULE)}); console.log(cpuShare(undefined, undefined, 16))`
    const script = 'echo $$ > "$0/cgroup.procs" && exec "$1" --input-type=module -e "$2"'
    const { stdout, stderr } = spawnSync('sh', ['-c', script, group, process.execPath, code])
    return `${stdout.toString().trim()}${stderr.toString().trim()}`
  }
  try {
    assert.equal(inside(100_000), '1')
    assert.equal(inside(270_000), '2')
    assert.equal(inside(500_000), '5')
  } finally {
    rmdirSync(group)
  }
})

test('the cores that a process may use count, too', (t) => {
  const code = `const { cpuShare } = await import(${JSON.stringify(MODULE)}); console.log(cpuShare())`
  const script = 'taskset -c 0 "$0" --input-type=module -e "$1"'
  const { status, stdout } = spawnSync('sh', ['-c', script, process.execPath, code])
  if (status === 127) return t.skip('SKIPPED: there is no taskset here')
  assert.equal(stdout.toString().trim(), '1')
})

test('the instruction set is what kernels are chosen by, sorted', (t) => {
  const [root] = machine(t, {
    x86: 'processor : 0\nflags\t\t: fpu sse2 avx2 fma avx avx512f clflush amx_int8\n\nprocessor : 1\n',
    arm: 'processor : 0\nFeatures\t: fp asimd aes asimddp i8mm\n',
  })
  assert.equal(instructionSet(join(root, 'x86')), 'amx_int8 avx avx2 avx512f fma')
  assert.equal(instructionSet(join(root, 'arm')), 'asimd asimddp i8mm')
  assert.ok(instructionSet(join(root, 'none')).length > 0)
})
