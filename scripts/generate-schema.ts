/** Writes what is generated from the spec's zod schema; tests assert that it is up to date. Run with `node`. */
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { format } from 'prettier'
import { fineTuneCrdText, fineTuneScheduleCrdText } from './crd-text.ts'
import { fineTuneJsonSchema, fineTuneScheduleFileSchema } from '../src/spec/json-schema.ts'
import { failuresPage } from './failures-page.ts'
import { scheduleReference, specReference } from './spec-reference.ts'

const root = new URL('../', import.meta.url)
const files = {
  'schema/fine-tune.schema.json': await format(JSON.stringify(fineTuneJsonSchema()), {
    parser: 'json',
    printWidth: 110,
  }),
  'schema/fine-tune-schedule.schema.json': await format(JSON.stringify(fineTuneScheduleFileSchema()), {
    parser: 'json',
    printWidth: 110,
  }),
  'docs/fine-tune-schedule.md': await scheduleReference(),
  'docs/fine-tune.md': await specReference(),
  'charts/temper/crds/finetunes.temper.dev.yaml': fineTuneCrdText(),
  'charts/temper/crds/finetuneschedules.temper.dev.yaml': fineTuneScheduleCrdText(),
  'docs/failures.md': await failuresPage(),
}
for (const [name, text] of Object.entries(files)) {
  const target = new URL(name, root)
  await mkdir(new URL('.', target), { recursive: true })
  await writeFile(target, text)
  console.log(`wrote ${fileURLToPath(target)}`)
}
