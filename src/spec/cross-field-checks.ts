import { isHubSource } from './fine-tune.ts'
import { methodProblems } from './method-problems.ts'
import type { Problem } from './problem.ts'

type Fields = Record<string, unknown>

const ROW_LAYOUTS: Record<string, readonly string[]> = {
  alpaca: ['instruction', 'input', 'output'],
  'prompt-completion': ['prompt', 'completion'],
  messages: ['messages'],
}

/**
 * What is wrong between fields that are each right. Runs on the document as written, so that these are found together with
 * the errors of single fields; a field of the wrong type is passed over here and reported there.
 */
export function crossFieldProblems(document: unknown): Problem[] {
  const spec = fields(fields(document)['spec'])
  return [
    ...modelProblems(fields(spec['model'])),
    ...dataProblems(fields(spec['data'])),
    ...trainProblems(fields(spec['train'])),
    ...duplicates(fields(spec['quantize'])['formats'], ['spec', 'quantize', 'formats']),
  ]
}

function modelProblems(model: Fields): Problem[] {
  const { source, revision } = model
  if (typeof source !== 'string' || revision === undefined || isHubSource(source)) return []
  return [
    {
      path: ['spec', 'model', 'revision'],
      text: 'is only for a model of the hub (hf:// or ms://); delete it, since a folder or file has no revisions',
    },
  ]
}

function dataProblems(data: Fields): Problem[] {
  const problems = [
    ...duplicates(data['train'], ['spec', 'data', 'train']),
    ...duplicates(data['eval'], ['spec', 'data', 'eval']),
  ]
  const train = list(data['train'])
  list(data['eval']).forEach((file, index) => {
    if (train.includes(file)) {
      problems.push({
        path: ['spec', 'data', 'eval', index],
        text: `is also in spec.data.train; evaluate on rows that are not trained on`,
      })
    }
  })
  const mapped = Object.keys(fields(data['columns'])).filter((name) => name !== 'system')
  const format = typeof data['format'] === 'string' ? data['format'] : 'auto'
  const layouts = Object.entries(ROW_LAYOUTS).filter(([name]) => format === 'auto' || format === name)
  const known = mapped.filter((name) => Object.values(ROW_LAYOUTS).flat().includes(name))
  if (layouts.length > 0 && !layouts.some(([, names]) => known.every((name) => names.includes(name)))) {
    problems.push({
      path: ['spec', 'data', 'columns'],
      text: `names ${known.join(', ')}, which do not belong to one format; give ${layouts
        .map(([name, names]) => `${names.join(', ')} for ${name}`)
        .join(', or ')}`,
    })
  }
  return problems
}

function trainProblems(train: Fields): Problem[] {
  const { warmupSteps, maxSteps, layout, precision, gradientCheckpointing, lrSchedulerType } = train
  const kwargs = fields(train['lrSchedulerKwargs'])
  const problems = duplicates(train['targetModules'], ['spec', 'train', 'targetModules'])
  if (
    typeof warmupSteps === 'number' &&
    typeof maxSteps === 'number' &&
    maxSteps > 0 &&
    warmupSteps >= maxSteps
  ) {
    problems.push({
      path: ['spec', 'train', 'warmupSteps'],
      text: `must be below maxSteps (${maxSteps}), but is ${warmupSteps}; the rate would never reach learningRate`,
    })
  }
  const isWhole = layout === 'whole' || (train['device'] === 'cuda' && layout !== 'by-layer')
  if (isWhole && (gradientCheckpointing === 'none' || gradientCheckpointing === 'full')) {
    problems.push({
      path: ['spec', 'train', 'gradientCheckpointing'],
      text: `is ${gradientCheckpointing}, which is made for layout by-layer only; choose selective, or by-layer on the CPU`,
    })
  }
  if (isWhole && (precision === 'fast' || precision === 'small' || precision === 'qlora')) {
    problems.push({
      path: ['spec', 'train', 'precision'],
      text: `is ${precision}, which is made for layout by-layer only; choose exact, or by-layer on the CPU`,
    })
  }
  if (precision === 'bf16' && train['device'] !== 'cuda')
    problems.push({
      path: ['spec', 'train', 'precision'],
      text: 'is bf16, for which the CPU has no kernels; add device: cuda, or choose exact or fast',
    })
  if (precision === 'fp16' && !isWhole)
    problems.push({
      path: ['spec', 'train', 'precision'],
      text: 'is fp16, which is made for layout whole only; add device: cuda, or choose exact or fast',
    })
  if (train['device'] === 'cuda' && layout === 'by-layer')
    problems.push({
      path: ['spec', 'train', 'layout'],
      text: 'is by-layer, which is made for the CPU; choose whole, or delete layout',
    })
  const needs = (schedule: string, names: readonly string[], example: string): void => {
    if (lrSchedulerType === schedule && names.every((name) => kwargs[name] === undefined))
      problems.push({
        path: ['spec', 'train', 'lrSchedulerKwargs'],
        text: `must have ${names.join(' or ')} for lrSchedulerType ${schedule}; for example ${example}`,
      })
  }
  for (const name of ['cosine_with_min_lr', 'cosine_warmup_with_min_lr'])
    needs(name, ['minLr', 'minLrRate'], '{minLrRate: 0.1}')
  needs('warmup_stable_decay', ['numDecaySteps'], '{numDecaySteps: 100}')
  if (train['useDora'] === true && precision === 'fast')
    problems.push({
      path: ['spec', 'train', 'precision'],
      text: 'is fast, which multiplies weights as whole numbers, where DoRA needs their lengths; choose exact, small or qlora, or delete useDora',
    })
  if (train['useDora'] === true && typeof train['loraDropout'] === 'number' && train['loraDropout'] > 0)
    problems.push({
      path: ['spec', 'train', 'loraDropout'],
      text: 'is not made for DoRA, which would need a second product with every weight; delete loraDropout or useDora',
    })
  return [...problems, ...methodProblems(train), ...evaluationProblems(train)]
}

/** What follows evaluations during training needs them. */
function evaluationProblems(train: Fields): Problem[] {
  if (train['evalStrategy'] === 'steps' || train['evalStrategy'] === 'epoch') return []
  const needy = [
    ...['evalSteps', 'earlyStoppingPatience'].filter((name) => train[name] !== undefined),
    ...(train['loadBestModelAtEnd'] === true ? ['loadBestModelAtEnd'] : []),
    ...(isMetricSchedule(train['lrSchedulerType']) ? ['lrSchedulerType'] : []),
  ]
  return needy.map((name) => ({
    path: ['spec', 'train', name],
    text: `follows evaluations during training, of which there are none; add evalStrategy: epoch (or steps), or delete ${name}`,
  }))
}

const isMetricSchedule = (name: unknown): boolean => name === 'reduce_lr_on_plateau' || name === 'greedy'

function duplicates(value: unknown, path: readonly PropertyKey[]): Problem[] {
  const entries = list(value)
  return entries.flatMap((entry, index) =>
    entries.indexOf(entry) < index ? [{ path: [...path, index], text: `is there twice; delete one` }] : [],
  )
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const fields = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
