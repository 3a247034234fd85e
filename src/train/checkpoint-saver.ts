import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { momentArrays } from './blockwise-moment.ts'
import type { CheckpointThreadData, CheckpointThreadReply } from './checkpoint-thread.ts'
import { errorOfExit } from './exit-codes.ts'
import { siblingModule } from './sibling-module.ts'
import type { TrainingState } from './training-state.ts'

/** Saves training states from a thread of its own: see checkpoint-thread.ts. One at a time. */
export class CheckpointSaver {
  readonly #thread: Worker

  constructor(data: CheckpointThreadData) {
    this.#thread = new Worker(siblingModule('checkpoint-thread', import.meta.url), { workerData: data })
  }

  /**
   * The state is handed over, not copied: its arrays are empty afterwards. Returns the checkpoint's bytes. Errors as
   * CheckpointFiles.save's.
   */
  async save(state: TrainingState): Promise<number> {
    const { adapter, moments, best } = state
    const arrays = [
      ...Array.from(adapter.values(), ({ data }) => data),
      ...momentArrays(moments.first.values()),
      ...momentArrays(moments.second.values()),
      ...(best?.values() ?? []),
    ]
    this.#thread.postMessage(
      state,
      arrays.map(({ buffer }) => buffer as ArrayBuffer),
    )
    // Rejects where the thread dies: once() listens for 'error' as well.
    const [reply] = (await once(this.#thread, 'message')) as [CheckpointThreadReply]
    if ('name' in reply) throw errorOfExit(reply.name, reply.message, undefined)
    return reply.bytes
  }

  async close(): Promise<void> {
    await this.#thread.terminate()
  }
}
