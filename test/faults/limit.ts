/** Something that was waited for did not come; never a measurement, always a failure. */
export class TookTooLong extends Error {}

/** `promise`, or TookTooLong after this many seconds. Whoever waits must end what it waited for. */
export async function within<T>(seconds: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TookTooLong(`waited ${seconds} s for ${what}`)), seconds * 1000)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
