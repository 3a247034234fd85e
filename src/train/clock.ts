/** Time as it passes, never as a calendar has it: setting the machine's clock changes nothing. Injected, so that tests can move it. */
export interface Clock {
  /** Milliseconds since some fixed moment; only differences mean something. */
  now(): number
}

export const monotonicClock: Clock = { now: () => performance.now() }
