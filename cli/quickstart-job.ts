import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { buildKubernetesApiRows } from '../examples/kubernetes-api/build.ts'
import type { QuickstartModel } from '../src/local/quickstart-model.ts'
import { API_VERSION, type FineTuneDocument } from '../src/spec/fine-tune.ts'

export const QUICKSTART_NAME = 'kubernetes-api'

/**
 * Writes the quickstart's rows and its job into `folder`, for the user to look at, edit and run again.
 * Returns the path of the job.
 */
export function writeQuickstartJob(folder: string, model: QuickstartModel): string {
  mkdirSync(folder, { recursive: true })
  buildKubernetesApiRows(folder)
  const document: FineTuneDocument = {
    apiVersion: API_VERSION,
    kind: 'FineTune',
    metadata: { name: QUICKSTART_NAME },
    spec: {
      model: { source: model.source, ...(model.revision !== undefined && { revision: model.revision }) },
      data: { train: ['train.jsonl'], eval: ['eval.jsonl'], maxLength: 256 },
      train: {
        r: 8,
        loraAlpha: 16,
        learningRate: 1e-3,
        // Under two minutes on two cores; the evaluation loss falls by a third in the first twenty steps.
        maxSteps: 24,
        perDeviceTrainBatchSize: 8,
        checkpoint: { everySteps: 10, everySeconds: 30 },
      },
      eval: { samples: 3, maxNewTokens: 40 },
    },
  }
  const path = join(folder, 'fine-tune.yaml')
  writeFileSync(
    path,
    `# The quickstart's job: what the Kubernetes API's own documentation answers. Edit it and run it again.\n${stringify(document)}`,
  )
  return path
}
