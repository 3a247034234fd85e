import { join } from 'node:path'
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker'
import { workflowInterceptorModules } from '../worker/workflow-bundle.ts'

const MAP = /(sourceMappingURL=data:application\/json;charset=utf-8;base64,)[A-Za-z0-9+/=]+/
/** Temporal's worker asks for a map; the code is not minified, so its stack traces can be read without one. */
const EMPTY_MAP = JSON.stringify({ version: 3, file: 'bundle.js', sources: [], names: [], mappings: '' })

/**
 * The workflows below `root` as one script. Run with `root` as the working directory, the same sources give the same bytes
 * wherever they lie: the source map, in which their place is written, is left empty.
 */
export async function workflowCode(root: string): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(root, 'workflows/index.ts'),
    workflowInterceptorModules,
    logger: new DefaultLogger('WARN'),
  })
  return code.replace(MAP, (_, head: string) => head + Buffer.from(EMPTY_MAP).toString('base64'))
}
