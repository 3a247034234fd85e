import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Image, writeImage, writeLayer } from '../../../scripts/image/oci-image.ts'
import { program } from './binaries.ts'
import { pauseReference } from './containerd.ts'

const nobody = '65532'

/** The image of a sandbox: one static program. */
export async function pauseImage(folder: string): Promise<Image> {
  const root = join(folder, 'root')
  await mkdir(root, { recursive: true })
  await cp(await program('pause'), join(root, 'pause'))
  const layer = await writeLayer({ from: root, to: '/' }, join(folder, 'pause.tar'))
  return writeImage(pauseReference, [layer], { User: nobody, Entrypoint: ['/pause'] }, join(folder, 'layout'))
}
