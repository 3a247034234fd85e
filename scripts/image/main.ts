// npm run image -- --output FOLDER [--name REFERENCE]
// Writes the CPU image of this checkout as an OCI layout and prints its digest.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { buildProductImage } from './product-image.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}
const { values } = parseArgs({
  options: { output: { type: 'string' }, name: { type: 'string', default: `temper:${version}` } },
})
if (values.output === undefined) {
  console.error('npm run image -- --output FOLDER [--name REFERENCE]')
  process.exit(2)
}
const image = await buildProductImage(values.name, values.output)
for (const { digest, size } of image.layers) console.log(`layer ${digest} ${(size / 1e6).toFixed(1)} MB`)
console.log(`${image.reference} ${image.digest}, ${(image.size / 1e6).toFixed(0)} MB in ${image.folder}`)
