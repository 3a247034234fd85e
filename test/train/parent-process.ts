import { readFile } from 'node:fs/promises'
import { openStore } from '../../src/store/open-store.ts'
import { monotonicClock } from '../../src/train/clock.ts'
import { type TrainStage, trainStage } from '../../src/train/train-stage.ts'

// A parent to be killed: runs the training that a JSON file describes and prints the child's pid, then its steps.
const [, , path = ''] = process.argv
const stage = JSON.parse(await readFile(path, 'utf8')) as Omit<TrainStage, 'store'> & { storeUri: string }
await trainStage(
  { ...stage, store: await openStore(stage.storeUri) },
  {
    signal: new AbortController().signal,
    clock: monotonicClock,
    onLog: ({ fields }) => typeof fields.pid === 'number' && console.log(`pid ${fields.pid}`),
    onProgress: ({ step }) => console.log(`step ${step}`),
  },
)
