import { extract, inline, type GraphFunction } from '../onnx/extract.ts'
import { differentiate } from '../onnx/gradient.ts'
import { Graph, type Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'
import type { ModelConfig } from './config.ts'
import type { VocabularyMatrix } from './frozen-weights.ts'
import type { ComputeType } from './layer.ts'
import type { HeadFormat } from './linear-format.ts'
import { roundRows, wholeProduct } from './whole-product.ts'

/**
 * The output head in parts, so that neither all logits nor the whole matrix in float32 need ever be held: the vocabulary is
 * taken in slices [V, hidden], which are independent of one another until their sums are joined.
 */
export interface HeadParts {
  /** x [N, hidden], final_norm → h. */
  normalise: GraphFunction
  /** h, head [V, hidden] → logSum [N, 1], the logarithm of the sum of exp(logits), and dh [N, hidden], its gradient by h (times `scale`). */
  learn: GraphFunction
  /** h, head → logSum, largest [N, 1] and best int64 [N, 1]: the largest logit and its place in the slice. */
  score: GraphFunction
  /** h, head → logits [N, V]. */
  logits: GraphFunction
  /** x, final_norm, dh → dx. */
  finish: GraphFunction
}

export function headFormat(matrix: VocabularyMatrix): HeadFormat {
  return matrix.type === 'int8' ? matrix.format : matrix.type
}

/** The head's products are float32, or where `compute` says so of that type, with their sums in float32. Whole numbers want an input `head.factors` [V]. */
export function headParts(
  config: ModelConfig,
  format: HeadFormat = 'float32',
  compute: ComputeType = 'float32',
): HeadParts {
  const { hiddenSize } = config
  const graph = new Graph()
  const h = graph.input('h', 'float32', ['N', hiddenSize])
  const { head, logits, inputs: matrix } = logitsOf(h, hiddenSize, format, compute)
  const probabilities = o.softmax(logits)
  // The largest z and the largest P (never below 1/V, so its logarithm is safe) give log Σ exp z without another pass.
  const largest = o.reduceMax(logits, [1])
  const logSum = o.sub(largest, o.log(o.reduceMax(probabilities, [1])))
  // Probabilities below 6e-8 are nothing in float16: there they are scaled before, and so is the gradient.
  const scale = compute === 'float32' ? undefined : graph.input('scale', 'float32', [])
  const scaled = o.inType(scale ? o.mul(probabilities, scale) : probabilities, compute)
  const dh = o.inType(o.matmul(scaled, head), 'float32')
  const inputs = new Map(Object.entries({ h, ...matrix, ...(scale && { scale }) }))
  const part = (outputs: Record<string, Value>) => extract(inputs, new Map(Object.entries(outputs)))
  return {
    ...normFunctions(config),
    learn: part({ logSum, dh }),
    score: part({ logSum, largest, best: o.argMax(logits) }),
    logits: part({ logits }),
  }
}

/**
 * The head as numbers of type `compute`, and h's product with it. The gradient's product stays one of numbers: most probabilities are far below
 * the largest of their row, and too many of them would be nothing as whole numbers of it.
 */
function logitsOf(h: Value, width: number, format: HeadFormat, compute: ComputeType) {
  const { graph } = h
  switch (format) {
    case 'float32':
    case 'float16':
    case 'bfloat16': {
      const given = graph.input('head', format, ['V', width])
      const head = o.inType(given, compute)
      const logits = o.gemm(o.inType(h, compute), head, { transB: true })
      return { head, logits: o.inType(logits, 'float32'), inputs: { head: given } }
    }
    case 'int8':
    case 'w8a16': {
      const given = graph.input('head', 'int8', ['V', width])
      const factors = graph.input('head.factors', 'float32', ['V'])
      const head = o.dequantizeRows(given, factors)
      const logits =
        format === 'int8'
          ? o.gemm(h, head, { transB: true })
          : wholeProduct(roundRows(h, '16 bits'), o.transpose(given, [1, 0]), factors)
      return { head, logits, inputs: { head: given, 'head.factors': factors } }
    }
  }
}

function normFunctions({ hiddenSize, rmsNormEpsilon }: ModelConfig): Pick<HeadParts, 'normalise' | 'finish'> {
  const graph = new Graph()
  const x = graph.input('x', 'float32', ['N', hiddenSize])
  const norm = graph.input('final_norm', 'float32', [hiddenSize])
  const dh = graph.input('dh', 'float32', ['N', hiddenSize])
  const h = o.rmsNorm(x, norm, rmsNormEpsilon).y
  const [dx] = differentiate(new Map([[h, dh]]), [x]) as [Value]
  const inputs = new Map(Object.entries({ x, final_norm: norm, dh }))
  return {
    normalise: extract(inputs, new Map([['h', h]])),
    finish: extract(inputs, new Map([['dx', dx]])),
  }
}

/** The head in one, for rows of the last layer's output that predict a target. */
export interface HeadFunctions {
  /** x [N, hidden], labels int64 [N], final_norm, head [vocabulary, hidden] → loss [N, 1] and dx, of the sum of losses (times the input `scale` where products are in 16 bits). */
  train: GraphFunction
  /** … → loss [N, 1] and best int64 [N, 1], the likeliest token. */
  evaluate: GraphFunction
  /** x, final_norm, head → logits [N, vocabulary]. */
  logits: GraphFunction
}

/** With `labelSmoothing` e, `train` learns (1 - e)·the label + e·the uniform distribution, as transformers' LabelSmoother. */
export function headFunctions(
  config: ModelConfig,
  labelSmoothing = 0,
  compute: ComputeType = 'float32',
): HeadFunctions {
  const { hiddenSize, vocabularySize } = config
  const parts = headParts(config, compute, compute)
  const graph = new Graph()
  const x = graph.input('x', 'float32', ['N', hiddenSize])
  const labels = graph.input('labels', 'int64', ['N'])
  const norm = graph.input('final_norm', 'float32', [hiddenSize])
  const head = graph.input('head', compute, [vocabularySize, hiddenSize])
  const scale = compute === 'float32' ? undefined : graph.input('scale', 'float32', [])
  const use = (part: GraphFunction, feeds: Record<string, Value>, output: string): Value =>
    inline(graph, part, new Map(Object.entries(feeds))).get(output) as Value

  const h = use(parts.normalise, { x, final_norm: norm }, 'h')
  const learnt = inline(graph, parts.learn, new Map(Object.entries({ h, head, ...(scale && { scale }) })))
  const scored = inline(graph, parts.score, new Map(Object.entries({ h, head })))

  // -log P[label] = log Σ exp z - z_label, and z_label is a product with one row of the head.
  const labelRows = o.inType(o.gather(head, labels), 'float32')
  const lossFor = (logSum: Value | undefined, target: Value): Value =>
    o.sub(logSum as Value, o.reduceSum(o.mul(h, target), [1]))
  // The mean of all logits is a product with the mean of the head's rows.
  const target =
    labelSmoothing === 0
      ? labelRows
      : o.add(
          o.mul(labelRows, o.scalar(labelRows, 1 - labelSmoothing)),
          o.mul(o.reduceMean(o.inType(head, 'float32'), [0]), o.scalar(labelRows, labelSmoothing)),
        )
  // d loss / d h = P·E - E[label]: shorter by two passes over [N, vocabulary] than what the rules would write.
  const subtracted = scale ? o.mul(target, scale) : target
  const dh = o.sub(learnt.get('dh') as Value, subtracted)
  const dx = use(parts.finish, { x, final_norm: norm, dh }, 'dx')

  const inputs = new Map(graph.inputs.map((input) => [input.name, input]))
  return {
    train: extract(inputs, new Map([['loss', lossFor(learnt.get('logSum'), target)], ['dx', dx]])), // prettier-ignore
    evaluate: extract(inputs, new Map([['loss', lossFor(scored.get('logSum'), labelRows)], ['best', scored.get('best') as Value]])), // prettier-ignore
    logits: extract(inputs, new Map([['logits', use(parts.logits, { h, head }, 'logits')]])),
  }
}
