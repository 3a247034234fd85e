import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeTokenizedRows } from '../../src/data/tokenized-rows.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import type { LogLine } from '../../src/train/child-protocol.ts'
import { monotonicClock } from '../../src/train/clock.ts'
import type { RunChildOptions } from '../../src/train/run-child.ts'
import type { TrainSettings } from '../../src/train/train-settings.ts'
import { trainStage, type TrainStage } from '../../src/train/train-stage.ts'
import type { TrainSummary } from '../../src/train/train-task.ts'
import { trainSettings } from './settings.ts'

export const TINY_MODEL = fileURLToPath(new URL('../fixtures/golden/tiny-qwen2', import.meta.url))
const VOCABULARY = 320
const ROWS = 22

/** Accumulation, dropout, weight decay, evaluations and a last step with fewer rows: everything that a resume could get wrong. */
export const TINY_SETTINGS = trainSettings({
  r: 4,
  loraDropout: 0.1,
  weightDecay: 0.01,
  loraplusLrRatio: 4,
  rankPattern: { down_proj: 2 },
  labelSmoothingFactor: 0.1,
  neftuneNoiseAlpha: 5,
  numTrainEpochs: 16,
  perDeviceTrainBatchSize: 3,
  gradientAccumulationSteps: 2,
  evalStrategy: 'steps',
  evalSteps: 8,
  loadBestModelAtEnd: true,
  checkpoint: { everySteps: 4, everySeconds: 60, keepLast: 2 },
})
export const TINY_STEPS = 64

/** Rows of 8 to 20 tokens; each continues by a rule that a model can learn. */
export async function writeTinyRows(dir: string, count = ROWS): Promise<void> {
  await mkdir(dir, { recursive: true })
  const rows = Array.from({ length: count }, (_, row) => {
    const length = 8 + ((row * 5) % 13)
    return {
      ids: Int32Array.from({ length }, (_, t) => (row * 37 + t * (3 + (row % 4))) % VOCABULARY),
      mask: Uint8Array.from({ length }, (_, t) => (t >= 3 ? 1 : 0)),
    }
  })
  const at = (row: number) => rows[row] as (typeof rows)[number]
  const tokenized = {
    count,
    ids: (row: number) => at(row).ids,
    lossMask: (row: number) => at(row).mask,
  }
  const ids = rows.map((_, row) => `row${row}`)
  await writeTokenizedRows(join(dir, 'train.safetensors'), tokenized)
  await writeTokenizedRows(join(dir, 'eval.safetensors'), tokenized)
  await writeFile(join(dir, 'rows.json'), JSON.stringify({ train: ids, eval: ids }))
}

export interface Attempt {
  /** With method full the model. */
  adapter: Buffer
  metrics: Record<string, number>[]
  summary: TrainSummary
}

/** A job on the golden Qwen2 with a store of its own; each attempt has scratch and output folders of its own. */
export class TinyTraining {
  readonly dir: string
  readonly store: Store
  readonly logs: LogLine[] = []
  #attempts = 0

  private constructor(dir: string, store: Store) {
    this.dir = dir
    this.store = store
  }

  static async create(t: { after: (cleanup: () => Promise<void>) => void }): Promise<TinyTraining> {
    const dir = await mkdtemp(join(tmpdir(), 'temper-train-'))
    t.after(() => rm(dir, { recursive: true, force: true }))
    await writeTinyRows(join(dir, 'tokenized'))
    return new TinyTraining(dir, await openStore(`file://${join(dir, 'store')}`))
  }

  /** The next attempt's stage, its folders made. */
  async stage(change: Partial<TrainSettings> = {}, rest: Partial<TrainStage> = {}): Promise<TrainStage> {
    const attempt = `a${++this.#attempts}`
    const folder = (name: string) => join(this.dir, attempt, name)
    await mkdir(folder('scratch'), { recursive: true })
    await mkdir(folder('out'))
    return {
      modelPath: TINY_MODEL,
      origin: { baseModel: 'tiny-qwen2' },
      tokenizedDir: join(this.dir, 'tokenized'),
      settings: { ...TINY_SETTINGS, ...change },
      store: this.store,
      jobId: 'tiny',
      digest: 'd1',
      attempt,
      scratchDir: folder('scratch'),
      outDir: folder('out'),
      ...rest,
    }
  }

  options(options: Partial<RunChildOptions> = {}): RunChildOptions {
    return {
      signal: new AbortController().signal,
      clock: monotonicClock,
      onLog: (line) => this.logs.push(line),
      ...options,
    }
  }

  async attempt(
    options: Partial<RunChildOptions> = {},
    change: Partial<TrainSettings> = {},
  ): Promise<Attempt> {
    const stage = await this.stage(change)
    const { summary } = await trainStage(stage, this.options(options))
    const lines = (await readFile(join(stage.outDir, 'metrics.jsonl'), 'utf8')).trim().split('\n')
    return {
      adapter: await readFile(
        join(
          stage.outDir,
          stage.settings.method === 'full' ? 'model.safetensors' : 'adapter_model.safetensors',
        ),
      ),
      metrics: lines.map((line) => JSON.parse(line) as Record<string, number>),
      summary,
    }
  }

  /** Of the child that was started last. */
  pid(): number {
    const line = this.logs.findLast(({ message }) => message === 'child process started')
    return Number(line?.fields.pid)
  }

  /** Keys in the store that end so. */
  async keys(ending: string): Promise<string[]> {
    const keys: string[] = []
    for await (const { key } of this.store.list('jobs/')) if (key.endsWith(ending)) keys.push(key)
    return keys
  }
}
