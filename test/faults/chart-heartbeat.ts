import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'

/** The heartbeat timeout that the chart ships. */
export async function chartHeartbeatSeconds(): Promise<number> {
  const values = new URL('../../charts/temper/values.yaml', import.meta.url)
  const { heartbeatSeconds } = parse(await readFile(values, 'utf8')) as { heartbeatSeconds?: number }
  if (heartbeatSeconds === undefined) throw new Error('the chart names no heartbeatSeconds')
  return heartbeatSeconds
}
