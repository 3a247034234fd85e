import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ReceivedSpan {
  service: string
  name: string
  traceId: string
  spanId: string
  parentSpanId?: string
}

/** Shape of OTLP's ExportTraceServiceRequest in its JSON encoding, as far as it is looked at. */
interface TraceRequest {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] }
    scopeSpans: { spans: Omit<ReceivedSpan, 'service'>[] }[]
  }[]
}

/** Takes spans as an OpenTelemetry collector does, over OTLP/HTTP in JSON. */
export async function otlpReceiver(): Promise<{
  endpoint: string
  spans: ReceivedSpan[]
  bodies: string[]
  close(): Promise<void>
}> {
  const spans: ReceivedSpan[] = []
  const bodies: string[] = []
  const server = createServer((request, answer) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      bodies.push(body)
      for (const { resource, scopeSpans } of (JSON.parse(body) as TraceRequest).resourceSpans) {
        const name = resource.attributes.find(({ key }) => key === 'service.name')
        for (const { spans: sent } of scopeSpans)
          spans.push(...sent.map((span) => ({ ...span, service: name?.value.stringValue ?? '' })))
      }
      const isTraces = request.url === '/v1/traces'
      answer.writeHead(isTraces ? 200 : 404, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bodies,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
