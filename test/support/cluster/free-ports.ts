import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/** TCP ports that are free now on `address`, all different. Another process may take one before it is used. */
export async function freePorts(count: number, address = '127.0.0.1'): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, address))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}
