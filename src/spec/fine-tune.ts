import { z } from 'zod'
import { FAILURE_KINDS } from '../failures/failure-kind.ts'
import { FAILURES } from '../failures/failures.ts'
import { evaluationFields } from './evaluation-fields.ts'
import { loraFields } from './lora-fields.ts'
import { scheduleFields } from './schedule-fields.ts'

/**
 * The job a user writes: one document, the same as a YAML file, an HTTP body and a Kubernetes resource. This schema is the
 * only one: the JSON schema, the CRD's schema and the docs are generated from it, so every field has its description here.
 * Field names are those of PEFT and TRL in camelCase. Checks across fields are in cross-field-checks.ts.
 */

export const API_VERSION = 'temper.dev/v1alpha1'

/** A name that Kubernetes, DNS and a folder all take (RFC 1123 label). */
const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const NAME_RULE =
  'must be 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit'

/** `hf://owner/name` or `hf://name`, `ms://owner/name`, in the characters that the model hubs allow. */
const HUB_PATTERN =
  /^(hf:\/\/[A-Za-z0-9][\w.-]{0,95}(\/[A-Za-z0-9][\w.-]{0,95})?|ms:\/\/[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})$/
/** A model of a hub, not of this machine. */
export const isHubSource = (source: string) => /^(hf|ms):\/\//.test(source)
/** More files than this in one list is a folder given by mistake; the document also has to fit into etcd. */
const MAX_FILES = 1000
/** PATH_MAX of Linux. */
const MAX_PATH = 4096
/** Above this the adapter is larger than the layers that it adapts. */
const MAX_RANK = 4096
/** No model's context is longer today; one more digit is a typing error. */
const MAX_TOKENS = 16_777_216
/** What a 32-bit seed of any other tool takes as well. */
const MAX_SEED = 4_294_967_295
/** Far above any machine or job; keeps products of these numbers exact. */
const MAX_COUNT = 1_000_000_000
/** A rate above 1 is 2e4 written for 2e-4. */
const MAX_LEARNING_RATE = 1
const FIVE_GIGABYTES = 5_000_000_000

const count = (least: number, most: number = MAX_COUNT) => z.int().min(least).max(most)
/** A key below a bucket; a slash at its end names all objects that begin with it. */
export const S3_SOURCE = /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\/[A-Za-z0-9._=/-]*$/
export const isLocalPath = (path: string) =>
  !path.includes('\0') && !/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(path)
const LOCAL_PATH_RULE = 'must be a path on this machine (relative to this document, or absolute), not a URI'
const localPath = z.string().trim().min(1).max(MAX_PATH).refine(isLocalPath, LOCAL_PATH_RULE)
const columnName = (what: string) =>
  z.exactOptional(z.string().min(1).max(256)).describe(`Field of a row that holds ${what}.`)

const model = z
  .strictObject({
    source: z
      .string()
      .trim()
      .min(1)
      .max(MAX_PATH)
      .refine(
        (source) => HUB_PATTERN.test(source) || isLocalPath(source),
        'must be a folder, a .gguf file, hf://owner/name or ms://owner/name',
      )
      .meta({
        description:
          'The base model: a folder with config.json and safetensors, a .gguf file (both relative to this document), hf://owner/name on the Hugging Face hub, or ms://owner/name on ModelScope.',
        examples: ['hf://HuggingFaceTB/SmolLM2-135M-Instruct', './models/base', './base.Q8_0.gguf'],
      }),
    revision: z
      .exactOptional(z.string().regex(/^[\w./-]{1,255}$/, 'must be a branch, a tag or a commit'))
      .meta({
        description:
          'Branch, tag or commit on the model hub. Resolved once to a commit, which the job records. Default: main, or master on ModelScope.',
        examples: ['main'],
      }),
  })
  .meta({
    description: 'The base model that is tuned.',
    examples: [{ source: 'hf://HuggingFaceTB/SmolLM2-135M-Instruct' }],
  })

const columns = z
  .strictObject({
    instruction: columnName('the instruction (Alpaca)'),
    input: columnName("the instruction's input (Alpaca)"),
    output: columnName('the answer (Alpaca)'),
    prompt: columnName('the prompt'),
    completion: columnName('the completion'),
    system: columnName('a system message'),
    messages: columnName('the list of {role, content}'),
  })
  .describe('Which fields of a row to read where they are named otherwise than the format says.')

const template = z
  .union(
    [
      z.enum(['auto', 'model', 'alpaca']),
      z.strictObject({
        jinja: z
          .string()
          .min(1)
          .max(65_536)
          .describe('A chat template in Jinja, as in tokenizer_config.json.'),
      }),
    ],
    { error: 'must be auto, model, alpaca or {jinja: "<template>"}' },
  )
  .default('auto')
  .describe(
    "How a row becomes text. model: the model's own chat template; alpaca: ### Instruction / ### Response; {jinja: ...}: a template written here; auto: the model's own where it has one, else alpaca.",
  )

const data = z
  .strictObject({
    train: z
      .array(localPath)
      .min(1)
      .max(MAX_FILES)
      .meta({
        description: 'Files to train on: .json, .jsonl, .csv or .parquet, relative to this document.',
        examples: [['rows.jsonl']],
      }),
    eval: z
      .array(localPath)
      .max(MAX_FILES)
      .default([])
      .meta({
        description: 'Files to evaluate on. Empty: evalFraction of the training rows is held out.',
        examples: [['held-out.jsonl']],
      }),
    evalFraction: z
      .number()
      .gt(0)
      .lt(1)
      .default(0.1)
      .describe(
        'Share of the rows held out for evaluation, chosen by the hash of their content. Used when eval is empty.',
      ),
    format: z
      .enum(['auto', 'alpaca', 'messages', 'prompt-completion'])
      .default('auto')
      .describe('Layout of a row. auto recognises it from the first rows and says what it found.'),
    columns: z.exactOptional(columns),
    clean: z
      .strictObject({
        html: z
          .enum(['strip', 'keep'])
          .default('strip')
          .describe('strip: HTML tags are removed by a parser; keep: text stays as it is.'),
        deduplicate: z
          .enum(['exact', 'none'])
          .default('exact')
          .describe('exact: of rows with equal content the first is kept.'),
        minAnswerCharacters: count(0)
          .default(1)
          .describe('Rows whose answer is shorter are removed and counted.'),
      })
      .prefault({})
      .describe('What is removed from the rows, each with its reason.'),
    template,
    maxLength: count(2, MAX_TOKENS).default(1024).describe('Longest row in tokens (TRL max_length).'),
    truncation: z
      .enum(['drop', 'truncate'])
      .default('drop')
      .describe('What happens to a longer row. drop: left out and counted; truncate: cut at the end.'),
    completionOnlyLoss: z
      .boolean()
      .default(true)
      .describe('true: the loss counts answers only; false: every token (TRL completion_only_loss).'),
  })
  .meta({ description: 'The rows and what is done to them.', examples: [{ train: ['rows.jsonl'] }] })

const targetModules = z
  .union([z.literal('all-linear'), z.array(z.string().min(1).max(256)).min(1).max(MAX_FILES)], {
    error: 'must be all-linear or a list of at least one module name, such as [q_proj, v_proj]',
  })
  .default('all-linear')
  .meta({
    description:
      'Layers that get an adapter (PEFT target_modules): all-linear (every projection but the head), or names.',
    examples: ['all-linear', ['q_proj', 'v_proj']],
  })

const checkpoint = z
  .strictObject({
    everySteps: count(1).default(50).describe('A checkpoint after this many optimizer steps ...'),
    everySeconds: z
      .union([z.literal('auto'), z.number().gt(0).max(MAX_COUNT)], {
        error: 'must be auto or a number of seconds above 0',
      })
      .default('auto')
      .describe(
        '... or after this many seconds, whichever comes first. auto: √(2 · 3 hours · the time that a save takes), 15 to 900 seconds.',
      ),
    keepLast: count(1, 1000)
      .default(2)
      .describe('Checkpoints kept. With 1, a corrupt newest one leaves nothing to go back to.'),
  })
  .prefault({})
  .describe('When the state of training is saved, and how much of it is kept.')

/** Only what is tried again at all can be tried more or less often. */
const retriedKinds = FAILURE_KINDS.filter((kind) => FAILURES[kind].budget.retries > 0)

const retries = z
  .partialRecord(z.enum(retriedKinds), count(0, 1000))
  .default({})
  .meta({
    description:
      'Retries of training by kind of failure, where they should differ from the budgets of docs/failures.md.',
    examples: [{ killed: 10, transient: 200 }],
  })

const divergence = z
  .strictObject({
    lossFactor: z
      .number()
      .gt(1)
      .max(MAX_COUNT)
      .default(3)
      .describe(
        'A loss above this many times the median of the last steps (and one nat above it) is a spike.',
      ),
    patience: count(1, 1000)
      .default(5)
      .describe('Spikes in a row that count as divergence; a loss that is not finite counts at once.'),
    tries: count(0, 100)
      .default(2)
      .describe(
        'How often training goes back to its last good state, skips the batches and halves the rate, before it fails.',
      ),
  })
  .prefault({})
  .describe('What happens when the loss runs away or is not finite.')

const train = z
  .strictObject({
    method: z
      .enum(['lora', 'full'])
      .default('lora')
      .describe(
        'How the model is tuned. lora: an adapter; full: all weights, in float32, for small models (about 40 bytes of memory a weight, 22 with optim adamw_8bit); learningRate must then be given, since the default is that of LoRA.',
      ),
    r: count(1, MAX_RANK).default(16).describe('Rank of the adapter (PEFT r).'),
    loraAlpha: z
      .number()
      .gt(0)
      .max(MAX_COUNT)
      .default(32)
      .describe('The adapter is scaled by loraAlpha / r (PEFT lora_alpha).'),
    loraDropout: z
      .number()
      .min(0)
      .lt(1)
      .default(0)
      .describe("Share of the adapter's inputs set to zero while training (PEFT lora_dropout)."),
    targetModules,
    useDora: z
      .boolean()
      .default(false)
      .describe('DoRA: a magnitude for each output beside A and B (PEFT use_dora).'),
    useRslora: z.boolean().default(false).describe('Scale by loraAlpha / sqrt(r) instead (PEFT use_rslora).'),
    learningRate: z
      .number()
      .gt(0)
      .max(MAX_LEARNING_RATE)
      .default(2e-4)
      .describe('Highest learning rate (TRL learning_rate).'),
    ...loraFields,
    ...scheduleFields,
    warmupRatio: z
      .number()
      .min(0)
      .lt(1)
      .default(0.03)
      .describe('Share of the steps in which the rate rises from zero.'),
    warmupSteps: z
      .exactOptional(count(0))
      .meta({ description: 'Steps of the warm-up; overrides warmupRatio.', examples: [10] }),
    numTrainEpochs: z
      .number()
      .gt(0)
      .max(MAX_COUNT)
      .default(1)
      .describe('Passes over the rows; may be a fraction.'),
    maxSteps: z.exactOptional(count(0)).meta({
      description:
        'Optimizer steps; overrides numTrainEpochs. 0: none, a rehearsal of all stages that publishes what it began with, so give it a publish.name of its own.',
      examples: [100],
    }),
    perDeviceTrainBatchSize: count(1, 65_536).default(4).describe('Rows in one micro-batch.'),
    gradientAccumulationSteps: count(1, 65_536)
      .default(1)
      .describe('Micro-batches in one optimizer step; its rows are dealt to them from the longest down.'),
    packing: z
      .boolean()
      .default(false)
      .describe(
        'true: short rows are joined up to data.maxLength tokens, without attention from one to another; a row of a micro-batch is then such a pack (TRL packing, strategy bfd).',
      ),
    groupByLength: z
      .boolean()
      .default(false)
      .describe(
        'true: rows of like length share a step, so that little is padding (transformers group_by_length).',
      ),
    maxGradNorm: z
      .number()
      .gt(0)
      .max(MAX_COUNT)
      .default(1)
      .describe('Gradients are scaled down to this norm (TRL max_grad_norm).'),
    weightDecay: z.number().min(0).max(1).default(0).describe('Decoupled weight decay of AdamW.'),
    adamBeta1: z.number().min(0).lt(1).default(0.9).describe('Decay of the first moment.'),
    adamBeta2: z.number().min(0).lt(1).default(0.999).describe('Decay of the second moment.'),
    adamEpsilon: z.number().gt(0).max(1).default(1e-8).describe('Added to the root of the second moment.'),
    seed: count(0, MAX_SEED)
      .default(42)
      .describe('Order of the rows, start of the adapter and dropout follow from it.'),
    device: z
      .enum(['cpu', 'cuda'])
      .default('cpu')
      .describe(
        "What training runs on. cuda: an NVIDIA GPU, in layout whole; its worker must have ONNX Runtime's CUDA provider. Evaluation of the finished model and the exports run on the CPU.",
      ),
    layout: z
      .enum(['auto', 'by-layer', 'whole'])
      .default('auto')
      .describe(
        'by-layer: least memory; whole: one graph, fastest on a GPU; auto: whole for device cuda, else by-layer.',
      ),
    precision: z
      .enum(['auto', 'exact', 'fast', 'small', 'qlora', 'fp16', 'bf16'])
      .default('auto')
      .describe(
        'exact: float32 arithmetic; fast: int8 products with frozen weights, forward and backward; small: 8-bit base, least memory; qlora: 4-bit base; fp16, bf16: products in 16 bits as autocast has them in torch, fp16 with a dynamic loss scale, for device cuda; auto: fast where rows of the job itself show that its gradients can be trusted, else exact. See docs/performance.md.',
      ),
    gradientCheckpointing: z
      .enum(['auto', 'none', 'selective', 'full'])
      .default('auto')
      .describe(
        'What the backward pass computes again: none: nothing; selective: what is cheap; full: all of a layer, least memory; auto: full for precision small, else selective.',
      ),
    threads: z
      .union([z.literal('auto'), count(1, 1024)], { error: 'must be auto or a whole number from 1 to 1024' })
      .default('auto')
      .describe(
        'CPU threads of the trainer; auto: the cores it may use. The result is exact for one number of threads.',
      ),
    ...evaluationFields,
    loggingSteps: count(1).default(1).describe('A line of loss and rate every so many steps.'),
    divergence,
    checkpoint,
    retries,
    largerQueues: z
      .array(z.string().regex(/^[\w./:-]{1,200}$/, 'must be the name of a task queue'))
      .max(16)
      .default([])
      .meta({
        description:
          'Queues of larger machines, the next larger first: training goes there when no smaller micro-batch fits the memory.',
        examples: [['finetune-gpu-80gb']],
      }),
  })
  .prefault({})
  .describe('How the model is trained.')

const evaluation = z
  .strictObject({
    samples: count(0, 1000)
      .default(3)
      .describe('Held-out questions answered by the base and by the tuned model, side by side.'),
    maxNewTokens: count(1, MAX_TOKENS).default(64).describe('Longest sample answer in tokens.'),
    batchSize: count(1, 65_536).default(4).describe('Rows evaluated at once.'),
  })
  .prefault({})
  .describe('What is measured on the held-out rows.')

const merge = z
  .strictObject({
    dtype: z
      .enum(['auto', 'F32', 'F16', 'BF16'])
      .default('auto')
      .describe("Number format of the merged weights; auto: the base's own, F32 for a quantised base."),
    maxShardSize: count(1_000_000, 1_000_000_000_000)
      .default(FIVE_GIGABYTES)
      .describe('Largest file of merged weights, in bytes; a larger model is written in shards.'),
  })
  .prefault({})
  .describe('How adapter and base become one model.')

const quantize = z
  .strictObject({
    formats: z
      .array(z.enum(['gguf-q8_0']))
      .max(8)
      .default(['gguf-q8_0'])
      .describe('Quantised files to write. Empty: none.'),
    maxLossIncrease: z
      .number()
      .min(0)
      .max(100)
      .default(0.02)
      .describe(
        "By how much the quantised model's evaluation loss may exceed the merged model's, relative to it; beyond, the stage fails.",
      ),
  })
  .prefault({})
  .describe('Smaller files of the merged model.')

const publish = z
  .strictObject({
    name: z.exactOptional(z.string().regex(NAME_PATTERN, NAME_RULE)).meta({
      description: 'Name under which versions are published. Default: metadata.name.',
      examples: ['support-bot'],
    }),
    approval: z
      .enum(['none', 'required'])
      .default('none')
      .describe(
        'required: when everything is made and measured the job waits, for as long as it takes and with nothing running, until a person approves (temper approve) or rejects it; none: it publishes at once.',
      ),
  })
  .prefault({})
  .describe('Where the result goes, and who is asked first.')

const labels = z.record(z.string(), z.string())

export const fineTuneSchema = z
  .strictObject({
    apiVersion: z.literal(API_VERSION).describe('Version of this document.'),
    kind: z.literal('FineTune').describe('Kind of this document.'),
    metadata: z
      .strictObject({
        name: z
          .string()
          .regex(NAME_PATTERN, NAME_RULE)
          .meta({
            description: 'Name of the job, and of the model that it publishes.',
            examples: ['support-bot'],
          }),
        namespace: z
          .exactOptional(z.string().regex(NAME_PATTERN, NAME_RULE))
          .describe('Namespace, on a cluster.'),
        labels: z.exactOptional(labels).describe('Labels, on a cluster.'),
        annotations: z.exactOptional(labels).describe('Annotations, on a cluster.'),
      })
      .meta({ description: 'The name of the job.', examples: [{ name: 'support-bot' }] }),
    spec: z
      .strictObject({ model, data, train, eval: evaluation, merge, quantize, publish })
      .meta({ description: 'The job.' }),
  })
  .describe('A fine-tune: base model, rows, training, exports.')

/** What a user writes: defaults may be left out. */
export type FineTuneDocument = z.input<typeof fineTuneSchema>

type ParsedSpec = z.output<typeof fineTuneSchema>['spec']
/** The spec with every default filled in. */
export type FineTuneSpec = Omit<ParsedSpec, 'publish'> & {
  /** A job that was started by an older Temper has no approval: it asks nobody. */
  publish: { name: string; approval?: ParsedSpec['publish']['approval'] }
}
