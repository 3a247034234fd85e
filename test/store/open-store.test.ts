import assert from 'node:assert/strict'
import { symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { InputError } from '../../src/errors.ts'
import { openStore } from '../../src/store/open-store.ts'
import { scratchFolder } from './support/scratch.ts'

const REFUSED: Record<string, RegExp> = {
  '': /is of no known kind; write file:\/\/\/absolute\/folder or s3:\/\/bucket\/prefix/,
  artifacts: /is of no known kind/,
  'file://host/share': /is of no known kind/,
  'file:///a%2fb': /is no valid address/,
  'https://bucket.example': /is of no known kind/,
  's3://': /is no bucket's name/,
  's3://Bucket_One': /is no bucket's name/,
  's3://bucket/../other': /has the part \.\., which leaves its folder/,
  's3://bucket/a//b': /has an empty part/,
  's3://bucket?endpoint=x': /is of no known kind/,
}
for (const [uri, want] of Object.entries(REFUSED)) {
  test(`refused: ${JSON.stringify(uri)}`, async () => {
    await assert.rejects(openStore(uri, { s3: { region: 'eu-central-1' } }), (error) => {
      assert.ok(error instanceof InputError)
      assert.match(error.message, want)
      return true
    })
  })
}

test('a folder is made with all above it; its address may hold anything a path may', async (t) => {
  const root = path.join(await scratchFolder(t), 'not yet', 'there & ä')
  const store = await openStore(pathToFileURL(root).href)
  assert.equal(store.uri, pathToFileURL(root).href)
  await store.write('k', 'x', { kind: 'absent' })
  assert.ok(await (await openStore(store.uri)).head('k'))
})

test('a prefix keeps stores in one bucket apart, with or without a slash behind', async () => {
  const s3 = { region: 'eu-central-1' }
  assert.equal((await openStore('s3://bucket/team/a/', { s3 })).uri, 's3://bucket/team/a')
  assert.equal((await openStore('s3://bucket', { s3 })).uri, 's3://bucket')
})

const NO_FOLDER: Record<string, (scratch: string) => Promise<string>> = {
  'where a file stands in the way': async (scratch) => {
    await writeFile(path.join(scratch, 'file'), 'x')
    return path.join(scratch, 'file', 'store')
  },
  'behind a link to nowhere': async (scratch) => {
    await symlink(path.join(scratch, 'nowhere'), path.join(scratch, 'link'))
    return path.join(scratch, 'link', 'store')
  },
  'in a file system that takes none': () => Promise.resolve('/proc/temper'),
}
for (const [where, make] of Object.entries(NO_FOLDER)) {
  test(`no store ${where}`, { skip: process.platform !== 'linux' }, async (t) => {
    const folder = await make(await scratchFolder(t))
    await assert.rejects(openStore(pathToFileURL(folder).href), InputError)
  })
}

test('an endpoint or a path style that is none is said', async () => {
  await assert.rejects(
    openStore('s3://bucket', { s3: { endpoint: 'localhost:9000' } }),
    /is no http\(s\) address/,
  )
  process.env['TEMPER_S3_PATH_STYLE'] = 'yes'
  try {
    await assert.rejects(
      openStore('s3://bucket', { s3: { region: 'x' } }),
      /TEMPER_S3_PATH_STYLE must be true or false/,
    )
  } finally {
    delete process.env['TEMPER_S3_PATH_STYLE']
  }
})
