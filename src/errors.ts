/**
 * Errors, one class per decision of the caller. Whoever throws picks the class by what has to happen next;
 * whoever catches never looks at a message.
 */
abstract class TemperError extends Error {
  abstract readonly decision: string
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** The user must change something: a file, a row, a field. Never retried. The message is one sentence that names the place and the mend. */
export class InputError extends TemperError {
  readonly decision = 'mend'
}

/** Nothing is wrong with the job: the network, a server or a machine failed. Try the same thing again. */
export class TransientError extends TemperError {
  readonly decision = 'retry'
}

/** Another attempt owns this job now. Write nothing more and exit. */
export class FencedError extends TemperError {
  readonly decision = 'exit'
}

/** A conditional write found something else than expected. Read again and decide. */
export class ConflictError extends TemperError {
  readonly decision = 'reread'
}

/** Bytes are not those that were recorded. Set them aside and use what came before. */
export class CorruptError extends TemperError {
  readonly decision = 'quarantine'
}

/** The loss or a gradient is not finite. Nothing of this state may be committed. */
export class NonFiniteError extends TemperError {
  readonly decision = 'rollback'
}

/** The work was asked to stop and has saved its state: cancelled, paused, or the process is being shut down. */
export class StoppedError extends TemperError {
  readonly decision = 'resume'
}

/** The machine has not the memory for this work. The same again fails again: a smaller micro-batch or a bigger machine. */
export class OutOfMemoryError extends TemperError {
  readonly decision = 'shrink'
}
