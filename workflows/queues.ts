/**
 * Task queues, named once: a worker that polls a misspelt queue waits for ever. A queue is "who can do this":
 * the control queue runs the jobs and the CPU stages, each class of training machine has one of its own.
 */
export const CONTROL_QUEUE = 'finetune-control'

/** Training on a machine's own processor. */
export const CPU_TRAINING_QUEUE = 'finetune-train-cpu'
