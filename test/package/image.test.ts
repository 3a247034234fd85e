import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { writeImage, writeLayer } from '../../scripts/image/oci-image.ts'
import { BUNDLER, IMAGE, PRODUCT } from '../../scripts/image/product-image.ts'
import { runCommand } from '../../src/local/run-command.ts'

const folder = mkdtempSync(join(tmpdir(), 'temper-image-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

test('the image holds every folder that is compiled for the package, and the Dockerfile copies the same', () => {
  const { include } = JSON.parse(read('tsconfig.build.json')) as { include: string[] }
  const folders = PRODUCT.filter((name) => !/[A-Z.]/.test(name))
  assert.deepEqual(folders.toSorted(), [...include, 'bin'].toSorted())
  const copied = [...read('Dockerfile').matchAll(/^COPY (\w+) \/app\/\1$/gm)].map(([, name]) => name)
  assert.deepEqual(copied.toSorted(), folders.toSorted())
})

test("the Dockerfile copies only what is let through to it, and ends as the script's image does", () => {
  const dockerfile = read('Dockerfile')
  const allowed = read('.dockerignore').split('\n')
  assert.equal(allowed[0], '**')
  const sources = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names = '']) =>
    names.split(' '),
  )
  assert.equal(sources.includes('LICENSE'), true)
  for (const source of sources)
    assert.equal(allowed.includes(`!${source}`), true, `.dockerignore: !${source}`)
  for (const source of [...PRODUCT, ...BUNDLER]) assert.equal(sources.includes(source), true, source)
  for (const target of ['cpu', 'cuda']) {
    const [, stage = ''] =
      new RegExp(`^FROM \\S+ AS ${target}$(.*?)(?=^FROM|$(?![^]))`, 'ms').exec(dockerfile) ?? []
    const last = (word: string) => new RegExp(`^${word} (.+)$`, 'm').exec(stage)?.[1]
    assert.deepEqual(
      { User: last('USER'), WorkingDir: last('WORKDIR'), Cmd: JSON.parse(last('CMD') ?? '[]') as unknown },
      { User: IMAGE.User, WorkingDir: IMAGE.WorkingDir, Cmd: IMAGE.Cmd },
    )
    assert.deepEqual(
      last('ENV')?.split(' '),
      IMAGE.Env.filter((variable) => !variable.startsWith('PATH=')),
    )
  }
})

/** Two files, made at another time and with other modes. */
function tree(name: string, mode: number, time: number): string {
  const root = join(folder, name)
  mkdirSync(join(root, 'inner'), { recursive: true })
  for (const file of ['b.txt', 'inner/a.txt']) {
    writeFileSync(join(root, file), file)
    chmodSync(join(root, file), mode)
    utimesSync(join(root, file), time, time)
  }
  return root
}

test('the same files are the same layer and the same image, whenever and by whom they were written', async () => {
  const trees = [tree('one', 0o600, 1_000), tree('two', 0o664, 2_000_000)]
  const layers = await Promise.all(
    trees.map((from) => writeLayer({ from, to: '/app', plainModes: true }, `${from}.tar`)),
  )
  assert.equal(layers[0]?.digest, layers[1]?.digest)
  const listing = await runCommand('tar', ['--list', '--verbose', '--file', layers[0]?.file ?? ''], {
    timeoutMilliseconds: 10_000,
  })
  assert.match(listing, /-rw-r--r-- 0\/0 .* app\/inner\/a\.txt/)
  const images = await Promise.all(
    layers.map((layer, index) => writeImage('temper:1', [layer], {}, join(folder, `layout-${index}`))),
  )
  assert.equal(images[0]?.digest, images[1]?.digest)
  const blob = join(folder, 'layout-0', 'blobs', 'sha256', images[0]?.digest.replace('sha256:', '') ?? '')
  const { layers: named } = JSON.parse(readFileSync(blob, 'utf8')) as { layers: { digest: string }[] }
  assert.deepEqual(
    named.map(({ digest }) => digest),
    [`sha256:${layers[0]?.digest}`],
  )
})
