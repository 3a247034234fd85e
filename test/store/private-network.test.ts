import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { createServer as createTlsServer, type Server } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../../src/local/run-command.ts'
import { type TestHub, startTestHub } from '../base/hub-server.ts'
import { createAuthority } from '../support/cluster/certificates.ts'
import { type SeaweedFs, seaweedFsMissing, startSeaweedFs } from '../support/seaweedfs.ts'

// The chart's proxy.https, proxy.noProxy and privateCaConfigMap, as a worker's process meets them: HTTPS_PROXY, NO_PROXY, NODE_EXTRA_CA_CERTS.

const program = fileURLToPath(new URL('support/reach-out.ts', import.meta.url))
/** Known to the proxy alone. */
const HUB = 'hub.temper.test'
const S3 = 's3.temper.test'
const WEIGHTS = 'the weights of a model'
const skip = (await seaweedFsMissing()) ?? false

describe("behind a proxy, with an authority of one's own", { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'temper-private-network-'))
  const asked: string[] = []
  const closing: (() => unknown)[] = []
  let hub: TestHub
  let s3: SeaweedFs
  let environment: Record<string, string>
  let s3Port = 0

  before(async () => {
    const authority = await createAuthority(join(folder, 'authority'))
    const { certFile, keyFile } = await authority.issue('servers', {
      commonName: 'servers',
      names: [HUB, S3],
      addresses: ['127.0.0.1'],
    })
    const tls = { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
    const files = { 'config.json': Buffer.from('{}'), 'model.safetensors': Buffer.from(WEIGHTS) }
    hub = await startTestHub({ name: 'owner/model', files, tls })
    s3 = await startSeaweedFs()
    await s3.createBucket('temper')
    const front = withTls(s3.endpoint, tls)
    s3Port = await listen(front)
    const ports = new Map([
      [HUB, Number(new URL(hub.endpoint).port)],
      [S3, s3Port],
    ])
    // A server does not count what it has handed over to CONNECT among its connections.
    const tunnels = new Set<Duplex>()
    const proxy = createServer().on('connect', (message, client) => {
      asked.push(message.url ?? '')
      const [name = '', port] = (message.url ?? '').split(':')
      const server = connect(ports.get(name) ?? Number(port), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n')
        server.pipe(client).pipe(server)
      })
      tunnels.add(client).add(server)
      server.on('error', () => client.destroy())
      client.on('error', () => server.destroy())
    })
    const proxyPort = await listen(proxy)
    closing.push(
      hub.close,
      () => s3.stop(),
      () => closed(front),
      () => {
        for (const tunnel of tunnels) tunnel.destroy()
        return closed(proxy)
      },
    )
    environment = {
      HTTPS_PROXY: `http://127.0.0.1:${proxyPort}`,
      NODE_EXTRA_CA_CERTS: authority.certFile,
      HF_ENDPOINT: `https://${HUB}`,
      TEMPER_STORE: 's3://temper/private',
      AWS_ENDPOINT_URL_S3: `https://${S3}`,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    }
  })
  after(async () => {
    for (const close of closing) await close()
    rmSync(folder, { recursive: true })
  })

  const reach = async (more: Record<string, string> = {}): Promise<unknown> => {
    asked.length = 0
    const output = await runCommand(process.execPath, [program, mkdtempSync(join(folder, 'cache-'))], {
      timeoutMilliseconds: 60_000,
      environment: { ...environment, ...more },
    })
    return JSON.parse(output)
  }
  const names = () => [...new Set(asked)].toSorted()

  test('hub and S3 are reached through the proxy, by names that it alone knows', async () => {
    assert.deepEqual(await reach(), { weights: WEIGHTS, stored: WEIGHTS })
    const redirected = new URL(hub.storage).host
    assert.deepEqual(names(), [redirected, `${HUB}:443`, `${S3}:443`])
  })

  test('what NO_PROXY names is reached directly', async () => {
    const direct = { NO_PROXY: '127.0.0.1', AWS_ENDPOINT_URL_S3: `https://127.0.0.1:${s3Port}` }
    assert.deepEqual(await reach(direct), { weights: WEIGHTS, stored: WEIGHTS })
    assert.deepEqual(names(), [`${HUB}:443`])
  })

  test('without the authority neither is trusted', async () => {
    await assert.rejects(reach({ NODE_EXTRA_CA_CERTS: '' }), /certificate/)
  })
})

/** The same server behind TLS. The name that the client asked for stays: it is signed. */
function withTls(endpoint: string, tls: { cert: string; key: string }): Server {
  return createTlsServer(tls, (incoming, answer) => {
    const { method, url = '', headers } = incoming
    const onward = request(`${endpoint}${url}`, { method, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers)
      response.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    incoming.pipe(onward)
  })
}

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

function closed(server: ReturnType<typeof createServer>): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}
