import { workerData } from 'node:worker_threads'

// The entry of the thread that watches for the parent's death while the main thread is blocked in ONNX Runtime, where it hears
// nothing of it. An orphan's parent is another process; SIGKILL is what stops a thread inside native code.

/** Seldom enough to cost nothing, soon enough to be gone before the next attempt has loaded its model. */
const LOOK_EVERY = 250

setInterval(() => {
  if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL')
}, LOOK_EVERY)
