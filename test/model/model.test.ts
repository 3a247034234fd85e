import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { attentionMask, causalTriangle, hasManySegments, MASKED } from '../../src/model/attention-mask.ts'
import { causalBlocks } from '../../src/model/causal-blocks.ts'
import { loadFrozenWeights } from '../../src/model/frozen-weights.ts'
import { parseModelConfig } from '../../src/model/parse-config.ts'
import { resolveTargetModules } from '../../src/model/projections.ts'
import { largestOfGroups, smoothedSides, smoothingFactors } from '../../src/model/smoothing.ts'
import { ropeTables } from '../../src/model/rope.ts'

type Json = Record<string, unknown>
const read = (name: string): Json =>
  JSON.parse(readFileSync(new URL(`../fixtures/golden/${name}/config.json`, import.meta.url), 'utf8')) as Json
const llama = read('tiny-llama')
const qwen2 = read('tiny-qwen2')

test('both families are parsed, rope in either spelling', () => {
  const { json: _json, ...found } = parseModelConfig(qwen2, 'config.json', { eos_token_id: [2, 5] })
  assert.deepEqual(found, {
    family: 'qwen2',
    hiddenSize: 64,
    intermediateSize: 160,
    layers: 3,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    vocabularySize: 320,
    rmsNormEpsilon: 1e-6,
    ropeTheta: 1_000_000,
    maxPositions: 512,
    tiedEmbeddings: true,
    queryKeyNorm: false,
    attentionBias: { qkv: true, output: false },
    bosTokenId: 1,
    padTokenId: 0,
    eosTokenIds: [2, 5],
  })
  const old = {
    ...llama,
    rope_parameters: undefined,
    rope_theta: 5e5,
    rope_scaling: null,
    attention_bias: true,
  }
  const parsed = parseModelConfig(old, 'config.json')
  assert.equal(parsed.ropeTheta, 5e5)
  assert.deepEqual(parsed.attentionBias, { qkv: true, output: true })
  assert.equal(parsed.tiedEmbeddings, false)
  const defaults = {
    ...llama,
    head_dim: undefined,
    num_key_value_heads: undefined,
    rope_parameters: undefined,
  }
  assert.deepEqual(
    (({ headDim, kvHeads, ropeTheta }) => [headDim, kvHeads, ropeTheta])(
      parseModelConfig(defaults, 'config.json'),
    ),
    [16, 6, 10_000],
  )
})

// The fields of published config.json files that decide the family and its arithmetic.
const shape = { hidden_size: 1024, intermediate_size: 3072, num_hidden_layers: 2, vocab_size: 100 }
const scaling = {
  rope_type: 'llama3',
  factor: 32,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
}
const published: { name: string; json: Json; want: Partial<ReturnType<typeof parseModelConfig>> }[] = [
  {
    name: 'Llama-3.2-1B',
    json: {
      architectures: ['LlamaForCausalLM'], model_type: 'llama', attention_bias: false, num_attention_heads: 32,
      num_key_value_heads: 8, head_dim: 64, rope_theta: 5e5, rope_scaling: scaling, tie_word_embeddings: true,
    }, // prettier-ignore
    want: {
      family: 'llama',
      ropeTheta: 5e5,
      ropeScaling: {
        factor: 32,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalMaxPositions: 8192,
      },
    },
  },
  {
    name: 'Qwen3-0.6B',
    json: {
      architectures: ['Qwen3ForCausalLM'], model_type: 'qwen3', attention_bias: false, num_attention_heads: 16,
      num_key_value_heads: 8, head_dim: 128, rope_theta: 1e6, rope_scaling: null, sliding_window: null,
      use_sliding_window: false, max_window_layers: 28, tie_word_embeddings: true,
    }, // prettier-ignore
    want: {
      family: 'qwen3',
      headDim: 128,
      queryKeyNorm: true,
      attentionBias: { qkv: false, output: false },
    },
  },
  {
    name: 'DeepSeek-R1-Distill-Qwen-1.5B',
    json: {
      architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', num_attention_heads: 12, num_key_value_heads: 2,
      hidden_size: 1536, rope_theta: 10000, sliding_window: 4096, use_sliding_window: false, use_mrope: false,
      tie_word_embeddings: false,
    }, // prettier-ignore
    want: {
      family: 'qwen2',
      headDim: 128,
      queryKeyNorm: false,
      ropeTheta: 10_000,
      attentionBias: { qkv: true, output: false },
    },
  },
]
for (const { name, json, want } of published)
  test(`a published config is read: ${name}`, () => {
    const found = parseModelConfig({ ...shape, ...json }, 'config.json')
    for (const [field, value] of Object.entries(want))
      assert.deepEqual(found[field as keyof typeof found], value, field)
  })

test('what is not supported is refused by name, with what is', () => {
  const wants: [Json, Json, RegExp][] = [
    [
      llama,
      { architectures: ['GPT2LMHeadModel'] },
      /^m\/config\.json: the architecture "GPT2LMHeadModel" is not supported; supported are LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM$/,
    ],
    [llama, { hidden_act: 'gelu' }, /hidden_act is "gelu", but only "silu" is supported/],
    [
      llama,
      { rope_scaling: { type: 'linear', factor: 2 } },
      /rope_scaling\.rope_type is "linear", but only "default" or "llama3" is supported/,
    ],
    [
      llama,
      { rope_parameters: { rope_type: 'llama3', rope_theta: 5e5, factor: 8, low_freq_factor: 4, high_freq_factor: 1 } }, // prettier-ignore
      /high_freq_factor of the llama3 rope scaling is 1, but must be a number above 4; original_max_position_embeddings of .* is missing/,
    ],
    [qwen2, { rope_scaling: { rope_type: 'yarn', factor: 4 } }, /rope_scaling\.rope_type is "yarn"/],
    [qwen2, { use_mrope: true }, /use_mrope is true/],
    [
      llama,
      { rope_parameters: { partial_rotary_factor: 0.5 } },
      /rope_parameters\.partial_rotary_factor is 0\.5, but only 1/,
    ],
    [qwen2, { use_sliding_window: true, sliding_window: 128 }, /use_sliding_window is true, but only false/],
    [
      qwen2,
      { layer_types: ['full_attention', 'sliding_attention'] },
      /layer_types is "sliding_attention", but only "full_attention"/,
    ],
    [
      llama,
      { quantization_config: { quant_method: 'gptq' } },
      /quantization_config \("gptq"\) is not supported; use the model's F32, F16 or BF16/,
    ],
    [llama, { mlp_bias: true }, /mlp_bias is true/],
    [llama, { pretraining_tp: 2 }, /pretraining_tp is 2/],
    [llama, { attention_dropout: 0.1 }, /attention_dropout is 0\.1/],
    [llama, { num_key_value_heads: 4 }, /num_attention_heads 6 is no multiple of num_key_value_heads 4/],
    [llama, { head_dim: 15 }, /head_dim is 15, but must be even/],
    [llama, { hidden_size: '96' }, /hidden_size is "96", but must be a whole number/],
    [llama, { num_hidden_layers: 1e9 }, /num_hidden_layers is 1000000000/],
    [llama, { vocab_size: undefined }, /vocab_size is missing/],
    [llama, { rms_norm_eps: 0 }, /rms_norm_eps is 0, but must be a number above 0/],
    [llama, { hidden_act: 'relu', mlp_bias: true }, /hidden_act is "relu".*; mlp_bias is true/],
  ]
  for (const [base, change, message] of wants)
    assert.throws(() => parseModelConfig({ ...base, ...change }, 'm/config.json'), {
      name: 'InputError',
      message,
    })
})

test('target modules are the linear layers, in the order in which they run', () => {
  assert.equal(resolveTargetModules('all-linear').length, 7)
  assert.deepEqual(resolveTargetModules(['v_proj', 'q_proj']), ['q_proj', 'v_proj'])
  assert.throws(() => resolveTargetModules(['q_proj', 'query']), {
    name: 'InputError',
    message: /the model has no linear layer query; write all-linear or some of q_proj, .*down_proj$/,
  })
  assert.throws(() => resolveTargetModules([]), { name: 'InputError', message: /is empty/ })
})

test('attention is causal, within its segment', () => {
  const show = (data: Float32Array, width: number) =>
    Array.from(data, (x, i) => (i % width === 0 && i > 0 ? ' ' : '') + (x === MASKED ? '.' : 'x')).join('')
  const mask = (segments: number[], rows: number) => {
    const length = segments.length / rows
    return show(attentionMask(Int32Array.from(segments), rows, length), length)
  }
  assert.equal(mask([1, 1, 2, 2], 1), 'x... xx.. ..x. ..xx')
  assert.equal(mask([0, 1, 1], 1), 'x.. .x. .xx')
  assert.equal(mask([1, 1, 1, 0], 2), 'x. xx x. .x')
  assert.equal(show(causalTriangle(3, 3), 3), 'x.. xx. xxx')
  assert.equal(show(causalTriangle(2, 4), 4), 'xxx. xxxx')
})

test('only more than one segment in a row needs more than causality', () => {
  const many = (segments: number[], rows: number) =>
    hasManySegments(Int32Array.from(segments), rows, segments.length / rows)
  assert.equal(many([1, 1, 1, 1, 0, 0], 2), false)
  assert.equal(many([1, 1, 2, 2], 1), true)
  assert.equal(many([0, 1, 1], 1), true)
  assert.equal(many([1, 1, 1, 2], 2), true)
})

test('attention is cut into few kinds of blocks', () => {
  assert.deepEqual(
    [1, 128, 129, 256, 257, 512, 513, 1024, 5000].map(causalBlocks),
    [1, 1, 2, 2, 4, 4, 8, 8, 16],
  )
})

test('what smooths an input divides the rows that make it; query heads that share a value share its factors', () => {
  const config = { ...parseModelConfig(llama, 'config.json'), heads: 4, kvHeads: 2, headDim: 2 }
  assert.deepEqual(
    Array.from(smoothingFactors(Float32Array.of(8, 0, 3), Float32Array.of(2, 1, 0))),
    [2, 1, 1],
  )
  const largest = largestOfGroups(config, Float32Array.of(1, 2, 3, 1, 5, 6, 4, 9))
  assert.deepEqual(Array.from(largest), [3, 2, 5, 9])
  const [qkv, mlp, down] = [Float32Array.of(7), Float32Array.of(8), Float32Array.of(9)]
  const smoothing = { qkv, o: largest, mlp, down }
  const o = smoothedSides(config, smoothing, 'o_proj')
  assert.deepEqual(Array.from(o.columns), [3, 2, 3, 2, 5, 9, 5, 9])
  assert.deepEqual(smoothedSides(config, smoothing, 'v_proj'), { columns: qkv, rows: largest })
  assert.deepEqual(smoothedSides(config, smoothing, 'up_proj'), { columns: mlp, rows: down })
  assert.deepEqual(smoothedSides(config, smoothing, 'down_proj'), { columns: down })
})

test('rope tables hold the angles of each position', () => {
  const { cos, sin, shape } = ropeTables(parseModelConfig(llama, 'config.json'), 3)
  assert.deepEqual(shape, [3, 8])
  assert.equal(cos[0], 1)
  assert.equal(sin[8], Math.fround(Math.sin(1)))
  assert.equal(cos[2 * 8 + 3], Math.fround(Math.cos(2 * 10_000 ** (-3 / 8))))
})

test('weights of another shape are refused with both shapes', () => {
  const config = parseModelConfig(llama, 'config.json')
  const infos = new Map([['model.embed_tokens.weight', { name: '', type: 'F32' as const, shape: [384, 95] }]])
  const none = () => new Float32Array()
  const source = {
    infos,
    float32: none,
    rows: none,
    bytes: () => new Uint8Array(),
    fileOf: () => 'model.safetensors',
    close: () => {},
  }
  assert.throws(() => loadFrozenWeights(config, source, { linear: 'float32', wholeEmbedding: false }), {
    name: 'InputError',
    message:
      /^model\.safetensors: the tensor model\.embed_tokens\.weight has shape \[384, 95\] but its config calls for \[384, 96\]/,
  })
})
