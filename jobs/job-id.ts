const PREFIX = 'finetune-'

/** The workflow's id of a job, by the name in its spec. */
export function jobIdOf(name: string): string {
  return `${PREFIX}${name}`
}

/** What a user calls the job; both spellings are accepted where one is asked for. */
export function jobNameOf(jobIdOrName: string): string {
  return jobIdOrName.startsWith(PREFIX) ? jobIdOrName.slice(PREFIX.length) : jobIdOrName
}
