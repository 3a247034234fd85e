import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildKubernetesApiRows } from '../examples/kubernetes-api/build.ts'
import { openBaseModel } from '../src/base/open-base-model.ts'
import { cleanRows } from '../src/data/clean-rows.ts'
import { tokenizeRows } from '../src/data/tokenize-rows.ts'
import { fineTuneSchema } from '../src/spec/fine-tune.ts'
import { measuredModule, measuredProcess } from './measured-process.ts'
import { peerPython } from './peer-environment.ts'

const OPTIONS = {
  model: { type: 'string' },
  mode: { type: 'string', default: 'exact' },
  rows: { type: 'string', default: '128' },
  threads: { type: 'string', default: '2' },
  /** Of the eight rows of a step, so many at a time: perDeviceTrainBatchSize, the rest is gradientAccumulationSteps. */
  micro: { type: 'string', default: '8' },
  /** TRL's SFTTrainer on the same rows, in these number formats. */
  peers: { type: 'boolean', default: false },
  dtypes: { type: 'string', default: 'f32,bf16' },
  venv: { type: 'string', default: fileURLToPath(new URL('../.temper/bench-venv', import.meta.url)) },
  json: { type: 'boolean', default: false },
} as const

/**
 * One epoch on the first rows of examples/kubernetes-api, and the loss of its held-out rows before and after: ours in each mode,
 * and beside it TRL's SFTTrainer with the same optimizer steps (bench/peers/trl_sft.py). Each in a process of its own.
 */
export async function benchRows(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: OPTIONS })
  const { model, threads } = values
  if (model === undefined) throw new Error('name a model folder with --model')
  const dir = mkdtempSync(join(tmpdir(), 'temper-bench-rows-'))
  try {
    const files = await prepare(dir, model, Number(values.rows))
    const child = fileURLToPath(new URL('rows-measure.ts', import.meta.url))
    const contestants = values.mode.split(',').map((mode) => ({
      measure: measuredModule,
      args: [child, model, files.tokenized, mode, threads, values.micro],
    }))
    if (values.peers) {
      const program = await peerPython(values.venv)
      const script = fileURLToPath(new URL('peers/trl_sft.py', import.meta.url))
      for (const dtype of values.dtypes.split(','))
        contestants.push({
          measure: (given: readonly string[]) => measuredProcess(program, given),
          args: [script, model, files.train, files.eval, dtype, '0', values.rows],
        })
    }
    const lines = []
    for (const { measure, args: given } of contestants) {
      const { lastLine, peakResidentMb } = await measure(given)
      const line = { ...(JSON.parse(lastLine) as object), bench: 'rows', peakResidentMb }
      if (values.json) console.log(JSON.stringify(line))
      lines.push(line)
    }
    if (!values.json) console.table(lines)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

/** The rows as TRL's script reads them, and cleaned and tokenized as a job would have them. */
async function prepare(dir: string, model: string, count: number) {
  const sources = buildKubernetesApiRows(dir)
  const files = { train: join(dir, 'train.json'), eval: join(dir, 'eval.json'), tokenized: join(dir, 'tokenized') } // prettier-ignore
  const linesOf = (path: string) => readFileSync(path, 'utf8').trim().split('\n')
  const rows = { train: linesOf(sources.train.path).slice(0, count), eval: linesOf(sources.eval.path) }
  for (const side of ['train', 'eval'] as const) {
    writeFileSync(files[side], `[${rows[side].join(',')}]`)
    writeFileSync(sources[side].path, `${rows[side].join('\n')}\n`)
  }
  const { spec } = fineTuneSchema.parse({
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name: 'rows' },
    spec: { model: { source: model }, data: { train: ['train.jsonl'], maxLength: 512 } },
  })
  const cleanDir = join(dir, 'clean')
  for (const made of [cleanDir, files.tokenized]) mkdirSync(made)
  await cleanRows({
    sources: [{ name: 'train.jsonl', path: sources.train.path }],
    evalSources: [{ name: 'eval.jsonl', path: sources.eval.path }],
    settings: spec.data,
    outDir: cleanDir,
  })
  const base = openBaseModel(model)
  if (!base.tokenizer) throw new Error(`${model} has no tokenizer`)
  const { trainRows, evalRows } = await tokenizeRows({
    cleanDir,
    tokenizer: base.tokenizer,
    settings: spec.data,
    modelMaxPositions: base.config.maxPositions,
    outDir: files.tokenized,
  })
  base.close()
  if (trainRows !== rows.train.length || evalRows !== rows.eval.length)
    throw new Error('rows were left out, so this would be another training than the rival has')
  return files
}
