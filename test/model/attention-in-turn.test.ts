import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { type KeptTensors, layerFunctions } from '../../src/model/layer-functions.ts'
import { fuse } from '../../src/onnx/fuse.ts'
import type { Node } from '../../src/onnx/graph.ts'

const BLOCKS = 4
const { config } = openBaseModel(fileURLToPath(new URL('../fixtures/golden/tiny-qwen2', import.meta.url)))

function backwardNodes(kept: KeptTensors): readonly Node[] {
  const setting = { config, rows: 'B', blocks: BLOCKS, blockLength: 'S', attention: 'causal', tableRows: 'R' } as const // prettier-ignore
  const lora = new Map([['q_proj', { rank: 2, scale: 1, dropout: 0, isDora: false }]] as const)
  return fuse(layerFunctions({ ...setting, lora, linear: 'float32' }, kept).backward).graph.nodes
}

/** What has to be computed before this node. */
function before(node: Node, found = new Set<Node>()): Set<Node> {
  for (const input of node.inputs) {
    const producer = input?.producer
    if (!producer || found.has(producer)) continue
    found.add(producer)
    before(producer, found)
  }
  return found
}

for (const kept of ['float32', 'float16', 'nothing'] as const)
  test(`the backward pass computes a block's softmax only after the block before is done with, ${kept} kept`, () => {
    const softmaxes = backwardNodes(kept).filter(({ op }) => op === 'Softmax')
    // With nothing kept the layer's output is computed again first, and with it each block's weights, which end at once.
    assert.equal(softmaxes.length, kept === 'nothing' ? 2 * BLOCKS : BLOCKS)
    const inTurn = softmaxes.slice(-BLOCKS)
    const waitsFor = inTurn.map((node) => {
      const earlier = before(node)
      return inTurn.filter((other) => earlier.has(other)).length
    })
    assert.deepEqual(waitsFor, [0, 1, 2, 3])
  })

test('where everything is kept, no softmax is computed again', () => {
  assert.equal(backwardNodes('everything').filter(({ op }) => op === 'Softmax').length, 0)
})
