import { readFileSync } from 'node:fs'

type Environment = Record<string, string | undefined>

/** How to reach a Temporal server; both of the SDK's kinds of connection take it. */
export interface TemporalOptions {
  address: string
  apiKey?: string
  tls?: {
    serverNameOverride?: string
    serverRootCACertificate?: Buffer
    clientCertPair?: { crt: Buffer; key: Buffer }
  }
}

/**
 * TEMPORAL_ADDRESS, TEMPORAL_API_KEY and TEMPORAL_TLS*, named as in Temporal's own environment configuration. An API key or a
 * certificate means TLS.
 */
export function temporalOptions(environment: Environment): TemporalOptions {
  const {
    TEMPORAL_API_KEY: apiKey,
    TEMPORAL_TLS: tls,
    TEMPORAL_TLS_SERVER_NAME: serverName,
    TEMPORAL_TLS_SERVER_CA_CERT_PATH: authority,
    TEMPORAL_TLS_CLIENT_CERT_PATH: certificate,
    TEMPORAL_TLS_CLIENT_KEY_PATH: key,
  } = environment
  const isSecured = tls === 'true' || [apiKey, authority, certificate].some(Boolean)
  return {
    address: environment.TEMPORAL_ADDRESS || '127.0.0.1:7233',
    ...(apiKey && { apiKey }),
    ...(isSecured && {
      tls: {
        ...(serverName && { serverNameOverride: serverName }),
        ...(authority && { serverRootCACertificate: readFileSync(authority) }),
        ...(certificate &&
          key && { clientCertPair: { crt: readFileSync(certificate), key: readFileSync(key) } }),
      },
    }),
  }
}

/** TEMPORAL_NAMESPACE */
export function temporalNamespace(environment: Environment): string {
  return environment.TEMPORAL_NAMESPACE || 'default'
}
