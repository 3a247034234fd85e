import { createServer } from 'node:net'
import { InputError } from '../errors.ts'

const loopback = '127.0.0.1'

/** A TCP port of 127.0.0.1 that is free now. Another process may take it before it is used: whoever starts a server tries again. */
export function freePort(): Promise<number> {
  return listenOnce(0)
}

/** InputError where another program listens on it, so that the reason is said before a server fails over it. */
export async function requireFreePort(port: number, mend: string): Promise<void> {
  try {
    await listenOnce(port)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EADDRINUSE') {
      throw new InputError(`Port ${port} of ${loopback} is in use by another program; ${mend}.`)
    }
    if (code === 'EACCES') {
      throw new InputError(`Port ${port} of ${loopback} may not be used by this user; ${mend}.`)
    }
    throw error
  }
}

function listenOnce(port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const server = createServer()
  server.on('error', reject)
  server.listen(port, loopback, () => {
    const address = server.address()
    server.close(() => {
      if (address === null || typeof address === 'string') reject(new Error('a TCP socket has no port'))
      else resolve(address.port)
    })
  })
  return promise
}
