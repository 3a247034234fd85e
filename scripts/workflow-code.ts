import { join } from 'node:path'
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker'
import { workflowInterceptorModules } from '../worker/workflow-bundle.ts'

const MAP = /(sourceMappingURL=data:application\/json;charset=utf-8;base64,)([A-Za-z0-9+/=]+)/

/**
 * The workflows below `root` as one script. Run with `root` as the working directory, the same sources give the same bytes
 * wherever they lie: what remains of their place is taken out of the source map.
 */
export async function workflowCode(root: string): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(root, 'workflows/index.ts'),
    workflowInterceptorModules,
    logger: new DefaultLogger('WARN'),
  })
  return code.replace(MAP, (_, head: string, map: string) => {
    const text = Buffer.from(map, 'base64')
      .toString()
      .replaceAll(`${root}/`, '')
      .replace(/"file":"[^"]+"/, '"file":"bundle.js"')
    return head + Buffer.from(text).toString('base64')
  })
}
