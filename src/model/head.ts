import { extract, type GraphFunction } from '../onnx/extract.ts'
import { differentiate } from '../onnx/gradient.ts'
import { Graph, type Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'
import type { ModelConfig } from './config.ts'

/** The final norm, the output head and cross-entropy, for rows of the last layer's output that predict a target. */
export interface HeadFunctions {
  /** x [N, hidden], labels int64 [N], final_norm, head [vocabulary, hidden] → loss [N, 1] and dx, of the sum of losses. */
  train: GraphFunction
  /** … → loss [N, 1] and best int64 [N, 1], the likeliest token. */
  evaluate: GraphFunction
  /** x, final_norm, head → logits [N, vocabulary]. */
  logits: GraphFunction
}

/** With `labelSmoothing` e, `train` learns (1 - e)·the label + e·the uniform distribution, as transformers' LabelSmoother. */
export function headFunctions(config: ModelConfig, labelSmoothing = 0): HeadFunctions {
  const { hiddenSize, vocabularySize, rmsNormEpsilon } = config
  const graph = new Graph()
  const x = graph.input('x', 'float32', ['N', hiddenSize])
  const labels = graph.input('labels', 'int64', ['N'])
  const norm = graph.input('final_norm', 'float32', [hiddenSize])
  const head = graph.input('head', 'float32', [vocabularySize, hiddenSize])
  const h = o.rmsNorm(x, norm, rmsNormEpsilon).y
  const logits = o.gemm(h, head, { transB: true })

  // -log P[label] = log Σ exp z - z_label. The largest z and the largest P (never below 1/vocabulary, so its logarithm is
  // safe) give the sum; z_label is a product with one row of the head. No other pass over the vocabulary is needed.
  const probabilities = o.softmax(logits)
  const labelRows = o.gather(head, labels)
  const logSum = o.sub(o.reduceMax(logits, [1]), o.log(o.reduceMax(probabilities, [1])))
  const lossFor = (target: Value): Value => o.sub(logSum, o.reduceSum(o.mul(h, target), [1]))
  const loss = lossFor(labelRows)
  // The mean of all logits is a product with the mean of the head's rows.
  const target =
    labelSmoothing === 0
      ? labelRows
      : o.add(
          o.mul(labelRows, o.scalar(labelRows, 1 - labelSmoothing)),
          o.mul(o.reduceMean(head, [0]), o.scalar(labelRows, labelSmoothing)),
        )
  // d loss / d h = P·E - E[label]: shorter by two passes over [N, vocabulary] than what the rules would write.
  const dh = o.sub(o.matmul(probabilities, head), target)
  const [dx] = differentiate(new Map([[h, dh]]), [x]) as [Value]

  const inputs = new Map(graph.inputs.map((input) => [input.name, input]))
  return {
    train: extract(inputs, new Map([['loss', lossFor(target)], ['dx', dx]])), // prettier-ignore
    evaluate: extract(inputs, new Map([['loss', loss], ['best', o.argMax(logits)]])), // prettier-ignore
    logits: extract(inputs, new Map([['logits', logits]])),
  }
}
