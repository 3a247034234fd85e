import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { adapterLayers } from '../../src/model/adapter-layers.ts'
import { loadFrozenWeights } from '../../src/model/frozen-weights.ts'
import type { ComputeType } from '../../src/model/layer.ts'
import type { LinearFormat } from '../../src/model/linear-format.ts'
import { decodingGraph, evaluationGraph, trainingGraph } from '../../src/model/whole-graph.ts'
import { MICROSOFT_OPS, OPSET } from '../../src/onnx/encode.ts'
import type { GraphFunction } from '../../src/onnx/extract.ts'
import { fuse } from '../../src/onnx/fuse.ts'
import type { Node } from '../../src/onnx/graph.ts'
import { readStartAdapter } from '../../scripts/golden-files.ts'

/** A row of ONNX Runtime's table: type variables of inputs and outputs ("T..." for any number), and what each may be. */
interface Kernel {
  since: number
  inputs: string[]
  outputs: string[]
  types: Record<string, string[]>
}

const { kernels } = JSON.parse(
  readFileSync(new URL('../fixtures/cuda-kernels/kernels.json', import.meta.url), 'utf8'),
) as { kernels: Record<'ai.onnx' | 'com.microsoft', Record<string, Kernel | undefined>> }

/** What CUDA has no kernel for in a node: nothing where it has one. */
function missing(node: Node): string[] {
  const microsoft = MICROSOFT_OPS.has(node.op)
  const kernel = kernels[microsoft ? 'com.microsoft' : 'ai.onnx'][node.op]
  if (!kernel) return [`${node.op} has no kernel`]
  if (!microsoft && kernel.since > OPSET) return [`${node.op} is newer than opset ${OPSET}`]
  const bound = new Map<string, string>()
  const check = (variables: readonly string[], types: readonly (string | undefined)[]): string[] =>
    types.flatMap((type, i) => {
      const variable = (variables[i] ?? variables.find((name) => name.endsWith('...')))?.replace('...', '')
      if (type === undefined) return []
      if (variable === undefined) return [`${node.op} takes no input or output ${i}`]
      const known = bound.get(variable) ?? type
      bound.set(variable, type)
      const fits = known === type && kernel.types[variable]?.includes(type)
      return fits ? [] : [`${node.op} has no kernel for ${type} as ${variable}`]
    })
  return [
    ...check(kernel.inputs, node.inputs.map((input) => input?.type)), // prettier-ignore
    ...check(kernel.outputs, node.outputs.map((output) => output.type)), // prettier-ignore
  ]
}

function graphsOf(name: string, linear: LinearFormat, compute: ComputeType): GraphFunction[] {
  const dir = new URL(`../fixtures/golden/${name}`, import.meta.url).pathname
  const { config, weights: source, close } = openBaseModel(dir)
  const adapter = readStartAdapter(dir)
  const load = (format: LinearFormat) =>
    loadFrozenWeights(config, source, { linear: format, wholeEmbedding: true })
  // Embedding and head are of the products' type in the whole graph, whatever the layers are.
  const { embedding, head } = load(compute)
  const model = {
    config,
    weights: { ...load(linear), embedding, head },
    layers: adapterLayers(config, adapter),
    compute,
  }
  close()
  return [
    trainingGraph(model, { dropout: 0, labelSmoothing: 0, noise: false }),
    trainingGraph(model, { dropout: 0.1, labelSmoothing: 0.1, noise: true }),
    evaluationGraph(model, 'loss'),
    evaluationGraph(model, 'logits'),
    decodingGraph(model),
  ].map(fuse)
}

for (const [linear, compute] of [
  ['float32', 'float32'],
  ['float16', 'float32'],
  ['float16', 'float16'],
  ['bfloat16', 'bfloat16'],
] as const)
  test(`whole graphs on ${linear} matrices, products in ${compute}: CUDA has a kernel for every operator and type`, () => {
    for (const name of ['tiny-qwen2', 'tiny-llama', 'tiny-qwen3', 'tiny-qwen2-dora'])
      for (const { graph } of graphsOf(name, linear, compute)) {
        const products = graph.nodes.filter(({ op }) => op === 'Gemm')
        assert.ok(products.some(({ outputs }) => outputs[0]?.type === compute))
        assert.ok(graph.nodes.length > 50)
        assert.deepEqual(new Set(graph.nodes.flatMap(missing)), new Set())
      }
  })

test('an operator without a kernel, and one for other types, would be found', () => {
  const value = (type: string) => ({ type }) as Node['inputs'][number]
  const node = (op: string, inputs: string[], outputs: string[]) =>
    ({ op, inputs: inputs.map(value), attributes: {}, outputs: outputs.map(value) }) as Node
  assert.deepEqual(missing(node('MatMulIntegerToFloat', ['uint8', 'int8'], ['float32'])), [
    'MatMulIntegerToFloat has no kernel',
  ])
  assert.deepEqual(missing(node('Softmax', ['int64'], ['int64'])), [
    'Softmax has no kernel for int64 as T',
    'Softmax has no kernel for int64 as T',
  ])
  assert.deepEqual(missing(node('Add', ['float32', 'float16'], ['float32'])), [
    'Add has no kernel for float16 as T',
    'Add has no kernel for float32 as T',
  ])
  assert.deepEqual(missing(node('Add', ['float32', 'float32'], ['float32'])), [])
})
