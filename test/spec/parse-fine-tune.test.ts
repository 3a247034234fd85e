import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'

const MINIMAL = `apiVersion: temper.dev/v1alpha1
kind: FineTune
metadata: {name: support-bot}
spec:
  model: {source: ./base}
  data: {train: [rows.jsonl]}
`

/** The lines of the error that parsing ends with. */
function complaints(source: string | object): string[] {
  let caught: unknown
  try {
    parseFineTune(source, 'job.yaml')
  } catch (error) {
    caught = error
  }
  assert.ok(caught instanceof InputError, `no InputError for ${JSON.stringify(source)}`)
  return caught.message.split('\n').map((line) => line.trim())
}

/** The minimal document with `fields` merged into its sections. */
function documentWith(fields: Record<string, object>): object {
  const spec: Record<string, object> = { model: { source: './base' }, data: { train: ['rows.jsonl'] } }
  for (const [section, inner] of Object.entries(fields)) spec[section] = { ...spec[section], ...inner }
  return { apiVersion: 'temper.dev/v1alpha1', kind: 'FineTune', metadata: { name: 'support-bot' }, spec }
}

test('training all weights takes a document without fields of an adapter', () => {
  const { spec } = parseFineTune(documentWith({ train: { method: 'full', learningRate: 2e-5 } }), 'job.yaml')
  assert.equal(spec.train.method, 'full')
})

test('a minimal document gets every default', () => {
  const { name, spec } = parseFineTune(MINIMAL, 'job.yaml')
  assert.equal(name, 'support-bot')
  assert.deepEqual(spec, {
    model: { source: './base' },
    data: {
      train: ['rows.jsonl'],
      eval: [],
      evalFraction: 0.1,
      format: 'auto',
      clean: { html: 'strip', deduplicate: 'exact', minAnswerCharacters: 1 },
      template: 'auto',
      maxLength: 1024,
      truncation: 'drop',
      completionOnlyLoss: true,
    },
    train: {
      method: 'lora',
      r: 16,
      loraAlpha: 32,
      loraDropout: 0,
      targetModules: 'all-linear',
      useDora: false,
      useRslora: false,
      learningRate: 2e-4,
      rankPattern: {},
      alphaPattern: {},
      loraplusLrRatio: 1,
      labelSmoothingFactor: 0,
      neftuneNoiseAlpha: 0,
      optim: 'adamw_torch',
      lrSchedulerType: 'cosine',
      lrSchedulerKwargs: {},
      warmupRatio: 0.03,
      numTrainEpochs: 1,
      perDeviceTrainBatchSize: 4,
      gradientAccumulationSteps: 1,
      packing: false,
      groupByLength: false,
      maxGradNorm: 1,
      weightDecay: 0,
      adamBeta1: 0.9,
      adamBeta2: 0.999,
      adamEpsilon: 1e-8,
      seed: 42,
      device: 'cpu',
      layout: 'auto',
      precision: 'auto',
      gradientCheckpointing: 'auto',
      threads: 'auto',
      evalStrategy: 'no',
      perDeviceEvalBatchSize: 4,
      metricForBestModel: 'loss',
      loadBestModelAtEnd: false,
      earlyStoppingThreshold: 0,
      loggingSteps: 1,
      divergence: { lossFactor: 3, patience: 5, tries: 2 },
      retries: {},
      largerQueues: [],
      checkpoint: { everySteps: 50, everySeconds: 'auto', keepLast: 2 },
    },
    eval: { samples: 3, maxNewTokens: 64, batchSize: 4 },
    merge: { dtype: 'auto', maxShardSize: 5_000_000_000 },
    quantize: { formats: ['gguf-q8_0'], maxLossIncrease: 0.02 },
    publish: { name: 'support-bot', approval: 'none' },
  })
})

test('the resolved spec is itself a valid document, and resolves to itself', () => {
  const { spec } = parseFineTune(MINIMAL, 'job.yaml')
  const again = parseFineTune({ ...documentWith({}), spec }, 'again')
  assert.deepEqual(again.spec, spec)
})

test('JSON is read as well, and so is an object', () => {
  const { spec } = parseFineTune(MINIMAL, 'job.yaml')
  const document = documentWith({})
  assert.deepEqual(parseFineTune(JSON.stringify(document, null, '\t'), 'body').spec, spec)
  assert.deepEqual(parseFineTune(document, 'body').spec, spec)
})

test('what is given is kept', () => {
  const given = documentWith({
    model: { source: 'hf://owner/name', revision: 'v1.0' },
    data: {
      eval: ['held-out.csv'],
      format: 'alpaca',
      columns: { instruction: 'q', output: 'a' },
      template: { jinja: '{{ x }}' },
    },
    train: {
      learningRate: 1e-3,
      targetModules: ['q_proj'],
      threads: 2,
      maxSteps: 10,
      warmupSteps: 3,
      seed: 0,
    },
    quantize: { formats: [] },
    publish: { name: 'other', approval: 'required' },
  })
  const { spec } = parseFineTune(given, 'job.yaml')
  assert.equal(spec.model.revision, 'v1.0')
  assert.deepEqual(spec.data.columns, { instruction: 'q', output: 'a' })
  assert.deepEqual(spec.data.template, { jinja: '{{ x }}' })
  assert.deepEqual(spec.train.targetModules, ['q_proj'])
  assert.equal(spec.train.warmupSteps, 3)
  assert.deepEqual(spec.quantize.formats, [])
  assert.deepEqual(spec.publish, { name: 'other', approval: 'required' })
})

test('all errors come at once, in the order of the lines, each with path, reason and line', () => {
  const lines = complaints(`apiVersion: temper.dev/v1
kind: FineTune
metadata: {name: Support Bot}
spec:
  model: {sorce: ./base}
  learningRate: 1e-3
  data:
    train: []
    eval: [https://example.com/rows.jsonl]
    template: jinja
  train:
    learning_rate: 1
    learningRate: fast
    r: 1.5
    lrSchedulerType: cosin
    seed:
    checkpoint: {keepLast: 0}
    maxSteps: 10
    warmupSteps: 10
`)
  assert.deepEqual(lines, [
    'job.yaml has 14 errors:',
    'apiVersion: must be temper.dev/v1alpha1, but is "temper.dev/v1" (line 1)',
    'metadata.name: must be 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit, but is "Support Bot" (line 3)',
    'spec.model.sorce: is not a field of spec.model; did you mean source? (line 5)',
    'spec.learningRate: is not a field of spec; did you mean spec.train.learningRate? (line 6)',
    'spec.data.train: must have at least one entry; for example train: [rows.jsonl] (line 8)',
    'spec.data.eval[0]: must be a path on this machine (relative to this document, or absolute), not a URI, but is "https://example.com/rows.jsonl" (line 9)',
    'spec.data.template: must be auto, model, alpaca or {jinja: "<template>"}, but is "jinja" (line 10)',
    'spec.train.learning_rate: is not a field of spec.train; did you mean learningRate? (line 12)',
    'spec.train.learningRate: must be a number, but is "fast"; for example learningRate: 0.0002 (line 13)',
    'spec.train.r: must be a whole number, but is 1.5; for example r: 16 (line 14)',
    'spec.train.lrSchedulerType: must be one of linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup, inverse_sqrt, cosine_with_min_lr, cosine_warmup_with_min_lr, warmup_stable_decay, reduce_lr_on_plateau, greedy, but is "cosin"; did you mean cosine? (line 15)',
    'spec.train.seed: is empty; give it a number or delete the line (line 16)',
    'spec.train.checkpoint.keepLast: must be at least 1, but is 0 (line 17)',
    'spec.train.warmupSteps: must be below maxSteps (10), but is 10; the rate would never reach learningRate (line 19)',
  ])
})

test('one error is one sentence', () => {
  assert.deepEqual(complaints(MINIMAL.replace('[rows.jsonl]', '[]')), [
    'job.yaml: spec.data.train: must have at least one entry; for example train: [rows.jsonl] (line 6)',
  ])
})

const REFUSED: { name: string; fields: Record<string, object>; want: RegExp }[] = [
  {
    name: 'a learning rate of 2e4',
    fields: { train: { learningRate: 2e4 } },
    want: /^job.yaml: spec.train.learningRate: must be at most 1, but is 20000$/,
  },
  {
    name: 'a learning rate of 0',
    fields: { train: { learningRate: 0 } },
    want: /learningRate: must be above 0, but is 0/,
  },
  {
    name: 'a learning rate that is no number',
    fields: { train: { learningRate: Number.NaN } },
    want: /learningRate: must be a number, but is NaN/,
  },
  {
    name: 'no target modules',
    fields: { train: { targetModules: [] } },
    want: /targetModules: must have at least one entry; for example targetModules: all-linear/,
  },
  {
    name: 'a target module twice',
    fields: { train: { targetModules: ['q_proj', 'q_proj'] } },
    want: /targetModules\[1\]: is there twice/,
  },
  {
    name: 'a file twice',
    fields: { data: { train: ['a.csv', 'b.csv', 'a.csv'] } },
    want: /data.train\[2\]: is there twice/,
  },
  {
    name: 'evaluation on training rows',
    fields: { data: { eval: ['rows.jsonl'] } },
    want: /data.eval\[0\]: is also in spec.data.train/,
  },
  {
    name: 'a revision of a folder',
    fields: { model: { revision: 'main' } },
    want: /model.revision: is only for a model of the hub/,
  },
  {
    name: 'a model of an unknown kind',
    fields: { model: { source: 's3://models/a' } },
    want: /model.source: must be a folder, a .gguf file, hf:\/\/owner\/name/,
  },
  {
    name: 'a hub name that climbs',
    fields: { model: { source: 'hf://owner/..' } },
    want: /model.source: must be/,
  },
  {
    name: 'a path with a zero byte',
    fields: { data: { train: ['a\0b'] } },
    want: /data.train\[0\]: must be a path/,
  },
  {
    name: 'columns of two formats',
    fields: { data: { columns: { prompt: 'p', output: 'o' } } },
    want: /data.columns: names prompt, output, which do not belong to one format/,
  },
  {
    name: "another format's column",
    fields: { data: { format: 'messages', columns: { prompt: 'p' } } },
    want: /data.columns: names prompt.*; give messages for messages/,
  },
  {
    name: 'an empty section that must not be',
    fields: { data: { train: undefined } },
    want: /data.train: is missing; for example train: \[rows.jsonl\]/,
  },
  {
    name: 'a text for a truth',
    fields: { train: { useRslora: 'yes' } },
    want: /useRslora: must be true or false, but is "yes"/,
  },
  {
    name: 'a number for a name',
    fields: { publish: { name: 7 } },
    want: /publish.name: must be text, but is 7; put it in quotes/,
  },
  {
    name: 'an approval that is neither',
    fields: { publish: { approval: 'yes' } },
    want: /publish.approval: must be one of none, required, but is "yes"/,
  },
  {
    name: 'a publish name with a slash',
    fields: { publish: { name: 'a/b' } },
    want: /publish.name: must be 1 to 63 lower-case/,
  },
  {
    name: 'a schedule without what it needs',
    fields: { train: { lrSchedulerType: 'cosine_with_min_lr' } },
    want: /lrSchedulerKwargs: must have minLr or minLrRate for lrSchedulerType cosine_with_min_lr/,
  },
  {
    name: 'a schedule that follows evaluations, without them',
    fields: { train: { lrSchedulerType: 'reduce_lr_on_plateau' } },
    want: /lrSchedulerType: follows evaluations during training, of which there are none; add evalStrategy: epoch/,
  },
  {
    name: 'the best of no evaluations',
    fields: { train: { loadBestModelAtEnd: true, evalStrategy: 'no' } },
    want: /loadBestModelAtEnd: follows evaluations.*or delete loadBestModelAtEnd/,
  },
  {
    name: 'an early end without evaluations',
    fields: { train: { earlyStoppingPatience: 2 } },
    want: /earlyStoppingPatience: follows evaluations/,
  },
  {
    name: 'one and a half steps between evaluations',
    fields: { train: { evalStrategy: 'steps', evalSteps: 1.5 } },
    want: /evalSteps: must be a whole number of steps, or a share of all steps between 0 and 1, but is 1.5/,
  },
  {
    name: 'DoRA with whole numbers',
    fields: { train: { useDora: true, precision: 'fast' } },
    want: /train\.precision: is fast, which multiplies weights as whole numbers.*choose exact, small or qlora/,
  },
  {
    name: 'DoRA with dropout',
    fields: { train: { useDora: true, loraDropout: 0.1 } },
    want: /train\.loraDropout: is not made for DoRA.*delete loraDropout or useDora/,
  },
  {
    name: 'an optimizer that is not made',
    fields: { train: { optim: 'adafactor' } },
    want: /optim: must be one of adamw_torch, .*adamw_8bit, adamw_bnb_8bit, paged_adamw_8bit, but is "adafactor"/,
  },
  {
    name: 'a GPU layer by layer',
    fields: { train: { device: 'cuda', layout: 'by-layer' } },
    want: /train\.layout: is by-layer, which is made for the CPU; choose whole/,
  },
  {
    name: 'a GPU with whole numbers',
    fields: { train: { device: 'cuda', precision: 'fast' } },
    want: /train\.precision: is fast, which is made for layout by-layer only; choose exact, or by-layer on the CPU/,
  },
  {
    name: 'bfloat16 on a CPU',
    fields: { train: { precision: 'bf16' } },
    want: /train\.precision: is bf16, for which the CPU has no kernels; add device: cuda/,
  },
  {
    name: 'float16 layer by layer',
    fields: { train: { precision: 'fp16' } },
    want: /train\.precision: is fp16, which is made for layout whole only; add device: cuda/,
  },
  {
    name: 'an adapter of all weights',
    fields: { train: { method: 'full', learningRate: 2e-5, r: 8, useDora: true } },
    want: /train\.r: is of an adapter, which method full has none of; delete it, or write method: lora\n.*train\.useDora: is of an adapter/,
  },
  {
    name: "LoRA's learning rate for all weights",
    fields: { train: { method: 'full' } },
    want: /train\.learningRate: is missing, and the default is that of LoRA; for example learningRate: 2e-5/,
  },
  {
    name: 'all weights on a rounded base',
    fields: { train: { method: 'full', learningRate: 2e-5, precision: 'small' } },
    want: /train\.precision: is small, which rounds a frozen base.*choose exact, or write method: lora/,
  },
  {
    name: 'all weights in one graph',
    fields: { train: { method: 'full', learningRate: 2e-5, layout: 'whole' } },
    want: /train\.layout: is whole, where method full is made for by-layer only/,
  },
  {
    name: 'a method that is a precision here',
    fields: { train: { method: 'qlora' } },
    want: /train\.method: is qlora.*write method: lora and precision: qlora/,
  },
  {
    name: 'a method that is not there',
    fields: { train: { method: 'prompt-tuning' } },
    want: /train\.method: must be one of lora, full, but is "prompt-tuning"/,
  },
  {
    name: 'modules_to_save',
    fields: { train: { modulesToSave: ['lm_head'] } },
    want: /train\.modulesToSave: full training of single modules is not supported; adapt them with targetModules/,
  },
  {
    name: 'a regular expression for a module',
    fields: { train: { rankPattern: { '(a+)+': 4 } } },
    want: /rankPattern/,
  },
  {
    name: 'a share of 1',
    fields: { data: { evalFraction: 1 } },
    want: /evalFraction: must be below 1, but is 1/,
  },
  {
    name: 'a quantisation we have not',
    fields: { quantize: { formats: ['gguf-q4_0'] } },
    want: /quantize.formats\[0\]: must be gguf-q8_0/,
  },
  {
    name: 'a word for the number of threads',
    fields: { train: { threads: 'many' } },
    want: /threads: must be auto or a whole number from 1 to 1024, but is "many"/,
  },
]
for (const { name, fields, want } of REFUSED) {
  test(`refused: ${name}`, () => assert.match(complaints(documentWith(fields)).join('\n'), want))
}

const MISSPELT: { written: string; section?: string; want: string }[] = [
  { section: 'train', written: 'learning_rate', want: 'did you mean learningRate?' },
  { section: 'train', written: 'lerningRate', want: 'did you mean learningRate?' },
  { section: 'train', written: 'lora_dropout', want: 'did you mean loraDropout?' },
  { section: 'train', written: 'dropout', want: 'did you mean loraDropout?' },
  { section: 'train', written: 'epochs', want: 'did you mean numTrainEpochs?' },
  { section: 'train', written: 'warmup_steps', want: 'did you mean warmupSteps?' },
  { section: 'data', written: 'max_length', want: 'did you mean maxLength?' },
  { section: 'data', written: 'tranlation', want: 'did you mean truncation?' },
  { section: 'data', written: 'batchSize', want: 'did you mean spec.eval.batchSize?' },
  { written: 'quantise', want: 'did you mean quantize?' },
  { written: 'training', want: 'did you mean train?' },
  { section: 'eval', written: 'zzzzzzzz', want: 'its fields are samples, maxNewTokens, batchSize' },
]
for (const { written, section, want } of MISSPELT) {
  test(`misspelt: ${section ?? 'spec'}.${written}`, () => {
    const document =
      section === undefined ? documentWith({ [written]: {} }) : documentWith({ [section]: { [written]: 1 } })
    const path = ['spec', section, written].filter((part) => part !== undefined).join('.')
    assert.deepEqual(
      complaints(document).map((line) => line.replace('job.yaml: ', '')),
      [`${path}: is not a field of ${path.slice(0, path.lastIndexOf('.'))}; ${want}`],
    )
  })
}

const NOT_YAML: { name: string; text: string; want: RegExp }[] = [
  { name: 'nothing', text: '', want: /^job.yaml is empty; write a FineTune document into it$/ },
  {
    name: 'a comment',
    text: '# later\n',
    want: /^job.yaml is empty; write a FineTune document into it$/,
  },
  {
    name: 'a list',
    text: '- 1\n',
    want: /^job.yaml: the document: must be a mapping of fields, but is a list/,
  },
  {
    name: 'an open bracket',
    text: 'a: 1\nb: [1\nc: 2\n',
    want: /^job.yaml: line 3: .*; mend the YAML there$/,
  },
  { name: 'JSON cut off', text: '{"apiVersion": "temper', want: /^job.yaml(: line 1: | is not valid YAML)/ },
  {
    name: 'a key twice',
    text: 'a: 1\nkind: x\nkind: y\n',
    want: /^job.yaml: line 3: Map keys must be unique/,
  },
  {
    name: 'a tag that makes objects',
    text: 'a: !!js/function "x"\n',
    want: /^job.yaml: line 1: Unresolved tag/,
  },
  { name: 'two documents', text: 'a: 1\n---\nb: 2\n', want: /^job.yaml has 2 documents/ },
  {
    name: 'a key that reaches for the prototype',
    text: `${MINIMAL}__proto__: {name: x}\n`,
    want: /^job.yaml: __proto__: is not a field of the document/,
  },
  {
    name: 'a megabyte of text',
    text: 'a'.repeat(1_000_001),
    want: /^job.yaml has 1000001 characters, more than the 1000000 allowed/,
  },
]
for (const { name, text, want } of NOT_YAML) {
  test(`not a document: ${name}`, () => assert.match(complaints(text).join('\n'), want))
}

test('YAML aliases that multiply are refused before they fill the memory', () => {
  const levels = Array.from(
    { length: 9 },
    (_, level) => `x${level + 1}: &x${level + 1} [${Array(9).fill(`*x${level}`).join(', ')}]`,
  )
  assert.match(complaints(`x0: &x0 [a, a]\n${levels.join('\n')}\n`).join('\n'), /aliases cannot be expanded/)
})
