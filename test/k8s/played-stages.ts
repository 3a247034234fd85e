const outcome = (stage: string, summary: object = {}) => ({
  ref: { stage, digest: `digest-of-${stage}` },
  skipped: false,
  summary,
})
const play = (stage: string, summary?: object) => () => Promise.resolve(outcome(stage, summary))

/** The stages as a test of the controller plays them: done at once. */
export const playedStages = {
  resolveModel: play('model', { digest: 'm', training: { perDeviceTrainBatchSize: 2, layout: 'by-layer' } }),
  clean: play('clean', { kept: 9 }),
  tokenize: play('tokenize'),
  train: play('train'),
  evaluate: play('evaluate', { base: { loss: 2 }, tuned: { loss: 1 } }),
  merge: play('merge'),
  quantize: play('quantize'),
  publish: play('publish', { name: 'x', version: 1 }),
}
