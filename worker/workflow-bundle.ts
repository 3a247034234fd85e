import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DefaultLogger, type WorkflowBundleOption, bundleWorkflowCode } from '@temporalio/worker'

const workflows = fileURLToPath(new URL('../workflows/', import.meta.url))
/** Bundled with them: trace ids pass through a workflow. */
export const workflowInterceptorModules = [
  createRequire(import.meta.url).resolve('@temporalio/interceptors-opentelemetry/lib/workflow-interceptors'),
]
const failures = fileURLToPath(new URL('../src/failures/', import.meta.url))

/**
 * The workflows as one script: the one that the build made, or, in a checkout, one made from the sources and kept in
 * `cacheDir` under the digest of what it was made from, since bundling takes seconds and workers start often.
 */
export async function workflowBundle(cacheDir: string): Promise<WorkflowBundleOption> {
  const built = join(workflows, 'bundle.js')
  if (existsSync(built)) return { codePath: built }
  const codePath = join(cacheDir, 'workflow-bundles', `${await sourceDigest()}.js`)
  if (!existsSync(codePath)) {
    const { code } = await bundleWorkflowCode({
      workflowsPath: join(workflows, 'index.ts'),
      workflowInterceptorModules,
      logger: new DefaultLogger('ERROR'),
    })
    await mkdir(dirname(codePath), { recursive: true })
    const partial = `${codePath}.${randomBytes(4).toString('hex')}`
    await writeFile(partial, code)
    await rename(partial, codePath)
  }
  return { codePath }
}

/** Everything that goes into the bundle: the workflows, the kinds of failures that they decide by, and the SDK. */
async function sourceDigest(): Promise<string> {
  const hash = createHash('sha256')
  const sdk = createRequire(import.meta.url).resolve('@temporalio/workflow/package.json')
  for (const file of [
    sdk,
    ...workflowInterceptorModules,
    ...(await filesOf(workflows)),
    ...(await filesOf(failures)),
  ]) {
    hash
      .update(`${file}\0`)
      .update(await readFile(file))
      .update('\0')
  }
  return hash.digest('hex').slice(0, 32)
}

async function filesOf(folder: string): Promise<string[]> {
  return (await readdir(folder)).sort().map((name) => join(folder, name))
}
