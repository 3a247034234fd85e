import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { waitingThreads } from '../../src/onnx/waiting-threads.ts'

const pressure = (avg10: string) => `some avg10=${avg10} avg60=31.83 avg300=29.13 total=26107223164
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
`
const CASES = [
  { name: 'an idle machine', text: pressure('0.00'), want: { allow_spinning: '1', spin_duration_us: '100' } },
  {
    name: 'little to wait for',
    text: pressure('24.99'),
    want: { allow_spinning: '1', spin_duration_us: '100' },
  },
  { name: 'a crowded machine', text: pressure('91.20'), want: { allow_spinning: '0' } },
  { name: 'a file of another form', text: 'what?', want: { allow_spinning: '0' } },
  { name: 'a system without it', text: undefined, want: { allow_spinning: '0' } },
]

for (const { name, text, want } of CASES)
  test(`threads that wait: ${name}`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'temper-waiting-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'cpu')
    if (text !== undefined) writeFileSync(file, text)
    assert.deepEqual(waitingThreads(file), want)
  })
