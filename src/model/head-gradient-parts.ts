import { extract, type GraphFunction } from '../onnx/extract.ts'
import { differentiate } from '../onnx/gradient.ts'
import { Graph, type Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'
import type { ModelConfig } from './config.ts'

/** What the head's own weights want, where all weights are trained: beside headParts(), a slice of the vocabulary at a time. */
export interface HeadGradientParts {
  /** h [N, hidden], head [V, hidden], logSum [N, 1] over the whole vocabulary → gradient [V, hidden] of the sum of logSum. */
  matrix: GraphFunction
  /** x [N, hidden], final_norm, dh → gradient [hidden]. */
  norm: GraphFunction
}

export function headGradientParts({ hiddenSize, rmsNormEpsilon }: ModelConfig): HeadGradientParts {
  return { matrix: matrixGradient(hiddenSize), norm: normGradient(hiddenSize, rmsNormEpsilon) }
}

function matrixGradient(hiddenSize: number): GraphFunction {
  const graph = new Graph()
  const h = graph.input('h', 'float32', ['N', hiddenSize])
  const head = graph.input('head', 'float32', ['V', hiddenSize])
  const logSum = graph.input('logSum', 'float32', ['N', 1])
  const probabilities = o.exp(o.sub(o.gemm(h, head, { transB: true }), logSum))
  const gradient = o.gemm(probabilities, h, { transA: true })
  return extract(new Map(Object.entries({ h, head, logSum })), new Map([['gradient', gradient]]))
}

function normGradient(hiddenSize: number, epsilon: number): GraphFunction {
  const graph = new Graph()
  const x = graph.input('x', 'float32', ['N', hiddenSize])
  const norm = graph.input('final_norm', 'float32', [hiddenSize])
  const dh = graph.input('dh', 'float32', ['N', hiddenSize])
  const [gradient] = differentiate(new Map([[o.rmsNorm(x, norm, epsilon).y, dh]]), [norm]) as [Value]
  return extract(new Map(Object.entries({ x, final_norm: norm, dh })), new Map([['gradient', gradient]]))
}
