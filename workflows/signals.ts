/** Names of the signals that a job hears. They are in the histories of jobs under way: a name is never given another meaning. */
export const pauseSignal = 'pause'
export const resumeSignal = 'resume'
/** From a training to its job. */
export const trainingAttemptsSignal = 'trainingAttempts'
