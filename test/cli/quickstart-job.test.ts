import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeQuickstartJob } from '../../cli/quickstart-job.ts'
import { readJob } from '../../cli/read-job.ts'

test("the quickstart's job is a valid document beside its rows, the same each time", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'temper-quickstart-'))
  try {
    const model = { source: 'hf://owner/name', revision: 'abc', from: 'the model hub' }
    const file = writeQuickstartJob(folder, model)
    const { name, spec } = await readJob(file)
    assert.equal(name, 'kubernetes-api')
    assert.deepEqual(spec.model, { source: 'hf://owner/name', revision: 'abc' })
    const rows = spec.data.train.map((path) => readFileSync(path, 'utf8'))
    assert(rows.join('').split('\n').length > 300, 'some hundreds of rows')
    assert.equal(spec.eval.samples, 3)
    const text = readFileSync(file, 'utf8')
    writeQuickstartJob(folder, model)
    assert.equal(readFileSync(file, 'utf8'), text)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
