/** A FineTune of the tiny model; `train` is laid over what all cases have. */
export function fineTune(name: string, train: object = {}, more: object = {}): object {
  return {
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name },
    spec: {
      model: { source: 'model' },
      data: { train: ['rows.jsonl'], maxLength: 128 },
      train: {
        r: 4,
        loraAlpha: 8,
        learningRate: 1e-3,
        maxSteps: 100,
        threads: 1,
        checkpoint: { everySteps: 25, everySeconds: 60, keepLast: 2 },
        ...train,
      },
      eval: { samples: 1, maxNewTokens: 4 },
      quantize: { maxLossIncrease: 1 },
      ...more,
    },
  }
}
