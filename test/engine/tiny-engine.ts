import { fileURLToPath } from 'node:url'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import type { Adapter } from '../../src/model/adapter.ts'
import type { Sample } from '../../src/train/batch.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import type { Engine, Layout } from '../../src/train/engine.ts'
import { RandomStream } from '../../src/train/random.ts'
import { readStartAdapter } from '../../scripts/golden-files.ts'

export type TinyName =
  'tiny-qwen2' | 'tiny-llama' | 'tiny-qwen2-dora' | 'tiny-qwen3' | 'tiny-llama3-rope' | FullName
/** Those with golden values of all weights. */
export type FullName = 'tiny-qwen2-full' | 'tiny-llama-full' | 'tiny-qwen3-full'

export function goldenDir(name: TinyName): string {
  return fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url))
}

/** A golden model with its adapter (both A and B are not zero), in one layout. */
export async function tinyEngine(
  name: TinyName,
  layout: Layout,
  change: (adapter: Adapter) => Adapter | undefined = (adapter) => adapter,
): Promise<Engine> {
  const { config, weights, close } = openBaseModel(goldenDir(name))
  const adapter = change(readStartAdapter(goldenDir(name)))
  const engine = await createEngine({ config, weights, adapter, layout, threads: 1 })
  const dispose = engine.dispose.bind(engine)
  return Object.assign(engine, {
    dispose: async () => {
      await dispose()
      close()
    },
  })
}

/** Random tokens of which the last two thirds are targets. */
export function sample(seed: number, length: number): Sample {
  const random = new RandomStream(seed, 'data-order')
  const ids = Array.from({ length }, () => 3 + random.below(300))
  return { id: `sample ${seed}`, ids, targets: ids.map((_, t) => (t >= length / 3 ? 1 : 0)) }
}

/** The largest difference over the largest absolute value, over all tensors. */
export function gradientError(
  found: ReadonlyMap<string, Float32Array>,
  want: ReadonlyMap<string, Float32Array>,
): number {
  let worst = 0
  for (const [name, values] of want) {
    const other = found.get(name) ?? new Float32Array()
    let difference = 0
    let largest = 0
    for (const [i, value] of values.entries()) {
      difference = Math.max(difference, Math.abs(value - (other[i] ?? Infinity)))
      largest = Math.max(largest, Math.abs(value))
    }
    worst = Math.max(worst, difference / largest)
  }
  return worst
}

export function copyOf(gradients: ReadonlyMap<string, Float32Array>): Map<string, Float32Array> {
  return new Map(Array.from(gradients, ([name, values]) => [name, values.slice()]))
}
