import type { Problem } from './problem.ts'

/** Fields of spec.train that only an adapter has. */
export const LORA_FIELDS = [
  'r',
  'loraAlpha',
  'loraDropout',
  'targetModules',
  'useDora',
  'useRslora',
  'rankPattern',
  'alphaPattern',
  'loraplusLrRatio',
] as const

/** What stands in spec.train, as written, against training all weights. */
export function methodProblems(train: Record<string, unknown>): Problem[] {
  if (train['method'] !== 'full') return []
  const problem = (field: string, text: string): Problem => ({ path: ['spec', 'train', field], text })
  const { device, layout, precision, learningRate } = train
  return [
    ...LORA_FIELDS.filter((field) => train[field] !== undefined).map((field) =>
      problem(field, 'is of an adapter, which method full has none of; delete it, or write method: lora'),
    ),
    ...(precision === 'fp16' || precision === 'bf16'
      ? [problem('precision', `is ${precision}, where method full is made for float32 only; choose exact, or write method: lora`)] // prettier-ignore
      : []),
    ...(precision === 'fast' || precision === 'small' || precision === 'qlora'
      ? [
          problem(
            'precision',
            `is ${precision}, which rounds a frozen base, and method full has none; choose exact, or write method: lora`,
          ),
        ]
      : []),
    ...(layout === 'whole'
      ? [problem('layout', 'is whole, where method full is made for by-layer only; choose that, or delete layout')] // prettier-ignore
      : []),
    ...(device === 'cuda'
      ? [problem('device', 'is cuda, where method full is made for the CPU only; delete it, or write method: lora')] // prettier-ignore
      : []),
    // LoRA's default is ten times too much for all weights, and nothing would say so.
    ...(learningRate === undefined
      ? [
          {
            ...problem('learningRate', 'is missing, and the default is that of LoRA; for example learningRate: 2e-5'), // prettier-ignore
            missing: true as const,
          },
        ]
      : []),
  ]
}
