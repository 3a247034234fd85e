import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Health {
  /** False: it will not get well again by itself; whoever watches should start it anew. */
  isAlive(): boolean
  /** False: it takes no work now. */
  isReady(): boolean
  /** Numbers of this moment, by their names (Prometheus). */
  metrics?(): Record<string, number>
}

/** Answers /healthz, /readyz and /metrics. An event loop that is blocked answers nothing, which says enough. */
export async function serveHealth(
  port: number,
  health: Health,
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const answer = (ok: boolean) => response.writeHead(ok ? 200 : 503).end(ok ? 'ok\n' : 'no\n')
    if (request.url === '/healthz') answer(health.isAlive())
    else if (request.url === '/readyz') answer(health.isReady())
    else if (request.url === '/metrics') {
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' })
      response.end(metricsText(health.metrics?.() ?? {}))
    } else response.writeHead(404).end()
  })
  server.listen(port)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections()
      await once(server.close(), 'close')
    },
  }
}

function metricsText(metrics: Record<string, number>): string {
  return Object.entries(metrics)
    .map(
      ([name, value]) =>
        `# TYPE ${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}\n${name} ${value}\n`,
    )
    .join('')
}
