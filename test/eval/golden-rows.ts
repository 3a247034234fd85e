import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeTokenizedRows } from '../../src/data/tokenized-rows.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'

/**
 * The batch of a golden directory as a tokenized artifact in `dir`, its starting adapter as PEFT would save it in
 * `dir`/adapter; and what its logits say: the targets, and how many of them are the model's first choice.
 */
export async function writeGoldenRows(
  golden: string,
  dir: string,
): Promise<{ targets: number; firstChoices: number }> {
  await mkdir(join(dir, 'adapter'), { recursive: true })
  await copyFile(join(golden, 'adapter_config.json'), join(dir, 'adapter', 'adapter_config.json'))
  await copyFile(join(golden, 'adapter_start.safetensors'), join(dir, 'adapter', 'adapter_model.safetensors'))
  const file = readSafetensors(join(golden, 'batch.safetensors'))
  const numbers = (name: string) => Array.from(file.tensor(name) as BigInt64Array, Number)
  const [ids, mask, labels] = [numbers('input_ids'), numbers('attention_mask'), numbers('labels')]
  const logits = file.float32('logits')
  const [count = 0, length = 0, vocabulary = 0] = file.infos.get('logits')?.shape ?? []
  file.close()
  const rows = Array.from({ length: count }, (_, row) => {
    const places = Array.from({ length }, (_, t) => row * length + t).filter((place) => mask[place] === 1)
    return {
      ids: Int32Array.from(places, (place) => ids[place] as number),
      mask: Uint8Array.from(places, (place) => (labels[place] === -100 ? 0 : 1)),
    }
  })
  const at = (row: number) => rows[row] as (typeof rows)[number]
  const tokenized = { count, ids: (row: number) => at(row).ids, lossMask: (row: number) => at(row).mask }
  await writeTokenizedRows(join(dir, 'eval.safetensors'), tokenized)
  await writeFile(
    join(dir, 'rows.json'),
    JSON.stringify({ train: [], eval: rows.map((_, row) => `golden${row}`) }),
  )
  let targets = 0
  let firstChoices = 0
  for (let place = 1; place < ids.length; place++) {
    if (place % length === 0 || labels[place] === -100) continue
    const scores = logits.subarray((place - 1) * vocabulary, place * vocabulary)
    targets++
    if (scores.indexOf(Math.max(...scores)) === labels[place]) firstChoices++
  }
  return { targets, firstChoices }
}
