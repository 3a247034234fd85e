import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type WorkflowBundleOption, bundleWorkflowCode } from '@temporalio/worker'

/** The bundle that the build made, or one made now from the sources (two seconds). */
export async function workflowBundle(): Promise<WorkflowBundleOption> {
  const built = fileURLToPath(new URL('../workflows/bundle.js', import.meta.url))
  if (existsSync(built)) return { codePath: built }
  return bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../workflows/index.ts', import.meta.url)),
  })
}
