import type { ServerSideEncryption } from '@aws-sdk/client-s3'
import { InputError } from '../errors.ts'

const KINDS = ['AES256', 'aws:kms', 'aws:kms:dsse'] as const satisfies readonly ServerSideEncryption[]

/** What every write asks the server to encrypt with. */
export interface S3Encryption {
  ServerSideEncryption?: ServerSideEncryption
  SSEKMSKeyId?: string
}

/** From TEMPER_S3_SSE (AES256, aws:kms, aws:kms:dsse) and TEMPER_S3_SSE_KMS_KEY. Unset: as the bucket does by itself. */
export function s3Encryption(environment: Record<string, string | undefined>): S3Encryption {
  const { TEMPER_S3_SSE: wanted, TEMPER_S3_SSE_KMS_KEY: key } = environment
  const kind = KINDS.find((name) => name === wanted)
  if (wanted && kind === undefined)
    throw new InputError(`TEMPER_S3_SSE must be ${KINDS.join(' or ')}, but is ${JSON.stringify(wanted)}`)
  if (key && !kind?.startsWith('aws:kms'))
    throw new InputError('TEMPER_S3_SSE_KMS_KEY names a key, but TEMPER_S3_SSE is not aws:kms; set it')
  return { ...(kind && { ServerSideEncryption: kind }), ...(key && { SSEKMSKeyId: key }) }
}
