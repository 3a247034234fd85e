import type { Connection } from '@temporalio/client'
import { JOB_ATTRIBUTE, STAGE_ATTRIBUTE } from '../workflows/job.ts'

/** A server of the user's own may lack them, or may not let this user look: then jobs are simply not labelled. */
export async function hasSearchAttributes(
  connection: Pick<Connection, 'operatorService'>,
  namespace: string,
): Promise<boolean> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace })
    return [JOB_ATTRIBUTE, STAGE_ATTRIBUTE].every((name) => name in (customAttributes ?? {}))
  } catch {
    return false
  }
}
