import { test } from 'node:test'
import { killedAndResumed } from '../train/killed-and-resumed.ts'

for (const precision of ['exact', 'fp16', 'bf16'] as const)
  test(`killed on CUDA in ${precision} and resumed on the same device, the job ends with the same adapter, bit for bit`, async (t) => {
    await killedAndResumed(t, { layout: 'whole', device: 'cuda', precision })
  })
