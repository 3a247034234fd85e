import { Worker } from 'node:worker_threads'

// A process whose main thread hears nothing any more, as inside a long call into ONNX Runtime.
const thread = new Worker(new URL('../../src/train/parent-watch-thread.ts', import.meta.url), {
  workerData: process.ppid,
})
thread.once('online', () => {
  process.stdout.write(`${process.pid}\n`, () => {
    for (;;);
  })
})
