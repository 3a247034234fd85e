import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import { InputError } from '../src/errors.ts'

export interface MetricsServer {
  /** host:port */
  address: string
  close(): Promise<void>
}

/**
 * `/metrics` for Prometheus and `/healthz` for a kubelet at `host:port` (port 0: a free one). Healthy is a worker that polls its
 * queues; one that is being drained is not, so that nothing new is expected of it.
 */
export async function serveMetrics(
  where: string,
  registry: Registry,
  isHealthy: () => boolean,
): Promise<MetricsServer> {
  const [, host, port] = /^(.*):(\d{1,5})$/.exec(where) ?? []
  if (port === undefined)
    throw new InputError(`TEMPER_METRICS_ADDRESS must be host:port, but is ${JSON.stringify(where)}.`)
  const server = createServer((request, answer) => {
    const path = (request.url ?? '').split('?')[0]
    if (path === '/healthz') {
      const healthy = isHealthy()
      answer.writeHead(healthy ? 200 : 503, { 'content-type': 'text/plain' })
      answer.end(healthy ? 'ok\n' : 'not polling\n')
      return
    }
    if (path !== '/metrics') {
      answer.writeHead(404).end()
      return
    }
    registry.metrics().then(
      (text) => answer.writeHead(200, { 'content-type': registry.contentType }).end(text),
      () => answer.writeHead(500).end(),
    )
  })
  await listen(server, Number(port), host || '0.0.0.0', where)
  const bound = server.address() as AddressInfo
  return {
    address: `${bound.address}:${bound.port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function listen(server: Server, port: number, host: string, where: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new InputError(
          `TEMPER_METRICS_ADDRESS ${where} cannot be listened on (${error.message}): name another port.`,
        ),
      ),
    )
    server.listen(port, host, resolve)
  })
}
