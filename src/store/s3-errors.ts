import { ConflictError, CorruptError, InputError, StoppedError, TransientError } from '../errors.ts'

interface ServiceError extends Error {
  $metadata?: { httpStatusCode?: number; attempts?: number }
  code?: string
}

const asService = (error: unknown): ServiceError =>
  error instanceof Error ? error : new Error(String(error))

const status = (error: unknown): number | undefined => asService(error).$metadata?.httpStatusCode

/** HEAD has no body, so a missing key and a missing bucket are both `NotFound` there. */
export const isNoSuchKey = (error: unknown): boolean =>
  ['NoSuchKey', 'NotFound'].includes(asService(error).name)

/** What is there is not what the request was about. */
export const isPreconditionFailed = (error: unknown): boolean => status(error) === 412

/** Two conditional writes met (S3 answers 409 to one of them): nothing was written, and asking again decides. */
export const isWriteCollision = (error: unknown): boolean =>
  status(error) === 409 && asService(error).name === 'ConditionalRequestConflict'

/** The multipart upload is gone: finished by a try whose answer was lost, or aborted. */
export const isNoSuchUpload = (error: unknown): boolean => asService(error).name === 'NoSuchUpload'

/**
 * True where a failed write may still have been executed: an answer was lost (no status), the server failed in mid-work
 * (5xx), or an earlier try of the SDK met one of these and the last one, refused with 412, met our own bytes.
 */
export function mayHaveHappened(error: unknown): boolean {
  const code = status(error)
  const tries = asService(error).$metadata?.attempts ?? 1
  return code === undefined || code >= 500 || (tries > 1 && code === 412)
}

/** An error of the SDK as the one that says what has to happen next. `doing`: `writing jobs/a/lease.json`. */
export function s3Error(error: unknown, doing: string, store: { bucket: string; endpoint: string }): Error {
  if (error instanceof Error && 'decision' in error) return error
  const { name, message, $metadata } = asService(error)
  const { bucket, endpoint } = store
  const at = `bucket ${bucket} at ${endpoint}`
  const options = { cause: error }
  const input = (text: string) => new InputError(`${text} (${doing})`, options)
  switch (name) {
    case 'NoSuchBucket':
      return input(`${at} does not exist; create it, or mend the name in the store's URI`)
    case 'NoSuchKey':
    case 'NotFound':
      return new CorruptError(`${at} has no such object (${doing})`, options)
    case 'PreconditionFailed':
      return new ConflictError(`${at}: the object is not what was expected (${doing})`, options)
    case 'ConditionalRequestConflict':
      return new TransientError(`${at}: other writers kept colliding with this one (${doing})`, options)
    case 'NotImplemented':
      return input(`${at} cannot do what safe writes need: ${message}; use a store with conditional writes`)
    case 'AccessDenied':
    case 'AllAccessDisabled':
    case 'Forbidden':
      return input(
        `${at} refuses access; allow these credentials s3:GetObject, PutObject, DeleteObject and ListBucket`,
      )
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
    case 'AuthorizationHeaderMalformed':
    case 'InvalidToken':
    case 'UnrecognizedClientException':
      return input(
        `${at} does not accept the credentials (${name}); mend AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_REGION`,
      )
    case 'ExpiredToken':
    case 'TokenRefreshRequired':
      return input(`the credentials for ${at} have expired; renew them`)
    case 'RequestTimeTooSkewed':
      return input(`the clock of this machine differs too much from that of ${at}; set it right`)
    case 'CredentialsProviderError':
      return input(
        `no credentials for ${at} were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role`,
      )
    case 'PermanentRedirect':
    case 'IllegalLocationConstraintException':
      return input(`${at} is in another region; set AWS_REGION to the bucket's own`)
    case 'InvalidBucketName':
      return input(`${bucket} is no name of a bucket at ${endpoint}; mend the store's URI`)
    case 'AbortError':
      return new StoppedError(`stopped while ${doing}`, options)
  }
  if (status(error) === 507) return input(`${at} is full; free space there`)
  if (message.startsWith('Region is missing')) return input(`no region is set for ${at}; set AWS_REGION`)
  const tries = $metadata?.attempts ?? 1
  const reason = [name === 'Error' ? undefined : name, status(error), message].filter(Boolean).join(' ')
  return new TransientError(
    `${at} failed ${tries > 1 ? `${tries} times ` : ''}while ${doing}: ${reason}`,
    options,
  )
}
