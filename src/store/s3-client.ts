import { S3Client } from '@aws-sdk/client-s3'
import { InputError } from '../errors.ts'

/** What is left out is taken from the SDK's own places: AWS_* variables, profiles, roles (IRSA included). */
export interface S3Options {
  endpoint?: string
  region?: string
  /** `http://host/bucket/key` instead of `http://bucket.host/key`. Default: with an endpoint of one's own. */
  pathStyle?: boolean
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }
  /** Tries of one request, the first included. */
  maxAttempts?: number
}

/** With the SDK's growing pauses a few seconds in all: longer outages are for whoever retries the stage. */
const MAX_ATTEMPTS = 6
const CONNECT_MILLISECONDS = 5_000
/** A request whose answer has not begun by then is lost. Servers answer a finished multipart upload within this, too. */
const ANSWER_MILLISECONDS = 60_000

/** A client, and the endpoint as a person would name it. */
export function s3Client(options: S3Options): { client: S3Client; endpoint: string } {
  const environment = process.env
  const endpoint = options.endpoint ?? environment['AWS_ENDPOINT_URL_S3'] ?? environment['AWS_ENDPOINT_URL']
  if (endpoint !== undefined && !/^https?:\/\/[^/]/.test(endpoint)) {
    throw new InputError(`the S3 endpoint ${endpoint} is no http(s) address; mend AWS_ENDPOINT_URL_S3`)
  }
  // Servers of one's own seldom care for the region, but the signature needs one.
  const region =
    options.region ??
    environment['AWS_REGION'] ??
    environment['AWS_DEFAULT_REGION'] ??
    (endpoint && 'us-east-1')
  const client = new S3Client({
    ...(endpoint !== undefined && { endpoint }),
    ...(region !== undefined && { region }),
    ...(options.credentials !== undefined && { credentials: options.credentials }),
    forcePathStyle:
      options.pathStyle ?? pathStyleSet(environment['TEMPER_S3_PATH_STYLE']) ?? endpoint !== undefined,
    maxAttempts: options.maxAttempts ?? MAX_ATTEMPTS,
    requestHandler: {
      // The SDK's own agents know nothing of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
      httpAgent: { proxyEnv: environment },
      httpsAgent: { proxyEnv: environment },
      connectionTimeout: CONNECT_MILLISECONDS,
      requestTimeout: ANSWER_MILLISECONDS,
      throwOnRequestTimeout: true,
    },
  })
  return { client, endpoint: endpoint ?? `AWS S3${region === undefined ? '' : ` ${region}`}` }
}

function pathStyleSet(value: string | undefined): boolean | undefined {
  switch (value) {
    case undefined:
    case '':
      return undefined
    case 'true':
      return true
    case 'false':
      return false
  }
  throw new InputError(`TEMPER_S3_PATH_STYLE must be true or false, but is ${JSON.stringify(value)}`)
}
