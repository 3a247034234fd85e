/** Names of the signals that a job hears. They are in the histories of jobs under way: a name is never given another meaning. */
export const pauseSignal = 'pause'
export const resumeSignal = 'resume'
/** Of a person, to a job that asks before it publishes. */
export const approveSignal = 'approve'
export const rejectSignal = 'reject'
export const prioritySignal = 'priority'
/** From the controller of a cluster, about the pods of the job. */
export const podReportSignal = 'podReport'
/** From a training to its job. */
export const trainingAttemptsSignal = 'trainingAttempts'
