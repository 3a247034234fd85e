import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { InputError } from '../errors.ts'

export interface Health {
  /** False: it will not get well again by itself; whoever watches should start it anew. */
  isAlive(): boolean
  /** False: it takes no work now. */
  isReady(): boolean
  /** Numbers of this moment by their names, or a whole page in Prometheus' text format. */
  metrics?(): Record<string, number> | Promise<string>
  /** What is asked for at another path, as JSON; undefined where there is nothing. A rejection is answered with 503. */
  tell?(path: string): Promise<object> | undefined
}

const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * Answers /healthz, /readyz and /metrics at `where`: a port (0: a free one) of all addresses, or `host:port`. An event loop that
 * is blocked answers nothing, which says enough. InputError where nothing can be served there.
 */
export async function serveHealth(
  where: number | string,
  health: Health,
): Promise<{ address: string; port: number; close(): Promise<void> }> {
  const [, host, port] = /^(?:(.*):)?(\d{1,5})$/.exec(String(where)) ?? []
  if (port === undefined || Number(port) > MAX_PORT)
    throw new InputError(`TEMPER_HEALTH_PORT must be a port or host:port, but is ${JSON.stringify(where)}.`)
  const server = createServer((request, response) => {
    const answer = (ok: boolean) => response.writeHead(ok ? 200 : 503).end(ok ? 'ok\n' : 'no\n')
    const [path = ''] = (request.url ?? '').split('?')
    if (path === '/healthz') answer(health.isAlive())
    else if (path === '/readyz') answer(health.isReady())
    else if (path === '/metrics')
      metricsPage(health).then(
        (text) => response.writeHead(200, { 'content-type': PROMETHEUS_TEXT }).end(text),
        () => response.writeHead(500).end(),
      )
    else {
      const told = health.tell?.(path)
      if (told === undefined) response.writeHead(404).end()
      else
        told.then(
          (value) =>
            response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value)),
          () => response.writeHead(503).end(),
        )
    }
  })
  await listen(server, Number(port), host, where)
  const bound = server.address() as AddressInfo
  return {
    address: `${bound.address}:${bound.port}`,
    port: bound.port,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const MAX_PORT = 65_535

function listen(
  server: Server,
  port: number,
  host: string | undefined,
  where: number | string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', ({ message }) =>
      reject(
        new InputError(`TEMPER_HEALTH_PORT ${where} cannot be listened on (${message}): name another port.`),
      ),
    )
    // Without a host: every address of either family.
    server.listen({ port, ...(host && { host }) }, resolve)
  })
}

async function metricsPage(health: Health): Promise<string> {
  const metrics = (await health.metrics?.()) ?? {}
  if (typeof metrics === 'string') return metrics
  return Object.entries(metrics)
    .map(
      ([name, value]) =>
        `# TYPE ${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}\n${name} ${value}\n`,
    )
    .join('')
}
