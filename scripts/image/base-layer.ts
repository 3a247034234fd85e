import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unpackDebianPackages } from '../../test/support/cluster/debian-tools.ts'
import { cachedFolder } from '../../test/support/cluster/tool-cache.ts'
import { type Layer, describeLayer, writeLayer } from './oci-image.ts'

/** What Node and its native modules load, the certificates that TLS trusts, and the system's name. No shell, no packager. */
const basePackages = ['base-files', 'libc6', 'libgcc-s1', 'libstdc++6', 'ca-certificates']

/** Under /usr, read by nobody at run time. Licences (usr/share/doc/…/copyright) stay. */
const withoutUse = ['share/man', 'share/locale', 'share/lintian', 'share/info', 'share/gcc', 'share/gdb']

/** The user of the product, who owns nothing in its image; the chart's pods run as this number. */
const user = '10001'

/** A base of 8 MB for programs that need glibc and libstdc++: the lowest layer of images, made once and kept. */
export async function baseLayer(): Promise<Layer> {
  const folder = await cachedFolder('image-base-2', async (fresh) => {
    const root = await mkdtemp(join(tmpdir(), 'temper-base-'))
    try {
      await fillRoot(root)
      await writeLayer({ from: root, to: '/' }, join(fresh, 'layer.tar'))
    } finally {
      await rm(root, { recursive: true, force: true })
    }
  })
  return describeLayer(join(folder, 'layer.tar'))
}

async function fillRoot(root: string): Promise<void> {
  await unpackDebianPackages(basePackages, root)
  for (const place of withoutUse) await rm(join(root, 'usr', place), { recursive: true, force: true })
  // Converters between character sets, 8 MB, which Node does not use.
  for (const entry of await readdir(join(root, 'usr', 'lib'), { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    await rm(join(root, 'usr', 'lib', entry.name, 'gconv'), { recursive: true, force: true })
  }
  await trustCertificates(root)
  await writeFile(
    join(root, 'etc', 'passwd'),
    `root:x:0:0:root:/root:/sbin/nologin\ntemper:x:${user}:${user}:temper:/home/temper:/sbin/nologin\n`,
  )
  await writeFile(join(root, 'etc', 'group'), `root:x:0:\ntemper:x:${user}:\n`)
  await writeFile(join(root, 'etc', 'nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n')
  await mkdir(join(root, 'home', 'temper'), { recursive: true })
  await mkdir(join(root, 'tmp'), { recursive: true })
  await chmod(join(root, 'tmp'), 0o1777)
}

/** The package's own script would do it: one file with all authorities. */
async function trustCertificates(root: string): Promise<void> {
  const folder = join(root, 'usr', 'share', 'ca-certificates', 'mozilla')
  const names = (await readdir(folder)).sort()
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  await mkdir(join(root, 'etc', 'ssl', 'certs'), { recursive: true })
  await writeFile(join(root, 'etc', 'ssl', 'certs', 'ca-certificates.crt'), texts.join(''))
}
