import { connect } from 'node:http2'

/** What the server at an address says of itself. */
export type Health = { serving: true } | { serving: false; why: string }

/**
 * The standard gRPC health check (grpc.health.v1.Health/Check) over plain-text HTTP/2.
 * The request is HealthCheckRequest{service = 1: string}, the answer HealthCheckResponse{status = 1: enum, 1 = SERVING}.
 */
export function grpcHealth(address: string, service: string, timeoutMilliseconds: number): Promise<Health> {
  const { promise, resolve } = Promise.withResolvers<Health>()
  const session = connect(`http://${address}`)
  const timer = setTimeout(
    () => finish({ serving: false, why: `no answer within ${timeoutMilliseconds} ms` }),
    timeoutMilliseconds,
  )
  const finish = (health: Health): void => {
    clearTimeout(timer)
    session.destroy()
    resolve(health)
  }
  session.on('error', (error) => finish({ serving: false, why: error.message }))
  const stream = session.request({
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', (error) => finish({ serving: false, why: error.message }))
  stream.on('end', () => {
    // A gRPC message: one byte "compressed", four bytes length, then the protobuf; field 1 as a varint is 0x08.
    const message = Buffer.concat(chunks).subarray(5)
    finish(
      message[0] === 0x08 && message[1] === 1
        ? { serving: true }
        : { serving: false, why: 'the server answers, but does not say that it serves' },
    )
  })
  stream.end(healthCheckRequest(service))
  return promise
}

function healthCheckRequest(service: string): Buffer {
  const name = Buffer.from(service)
  const message = Buffer.concat([Buffer.from([0x0a, name.length]), name])
  const frame = Buffer.alloc(5)
  frame.writeUInt32BE(message.length, 1)
  return Buffer.concat([frame, message])
}
