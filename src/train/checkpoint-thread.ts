import { parentPort, workerData } from 'node:worker_threads'
import { CheckpointFiles, type CheckpointPlace } from './checkpoint-files.ts'
import { exitCodeOf, type ExitName, exitNameOf } from './exit-codes.ts'
import type { TrainingState } from './training-state.ts'

// The entry of the thread that saves checkpoints. ONNX Runtime blocks the main thread's event loop for a layer or a whole step at
// a time, so that the hundreds of small steps of an upload would each wait for one; here they wait for nothing.

export interface CheckpointThreadData {
  place: CheckpointPlace
  scratchDir: string
  keepLast: number
}

/** What comes back for each state that was sent: its size when it is safe, else why it is not. */
export type CheckpointThreadReply = { bytes: number } | SaveFailure
interface SaveFailure {
  name: Exclude<ExitName, 'finished'>
  message: string
}

const { place, scratchDir, keepLast } = workerData as CheckpointThreadData
let opened: Promise<CheckpointFiles> | undefined

parentPort?.on('message', (state: TrainingState) => {
  opened ??= CheckpointFiles.open(place, scratchDir, keepLast)
  const reply = (answer: CheckpointThreadReply) => parentPort?.postMessage(answer)
  opened
    .then((files) => files.save(state))
    .then(
      (bytes) => reply({ bytes }),
      (error: unknown) => reply(failureOf(error)),
    )
})

function failureOf(error: unknown): SaveFailure {
  const name = exitNameOf(exitCodeOf(error))
  if (name === 'internal') console.error(error)
  const message = error instanceof Error ? error.message : String(error)
  return { name: name === 'finished' ? 'internal' : name, message }
}
