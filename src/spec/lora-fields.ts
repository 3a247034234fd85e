import { z } from 'zod'

/** A path's end, as PEFT's patterns match it; no regular expressions, which could take for ever. */
const modulePath = z
  .string()
  .regex(/^[\w.]{1,256}$/, 'must be a module or the end of its path, such as layers.0.self_attn.q_proj')

/** What PEFT's LoraConfig and transformers' TrainingArguments offer beyond rank and rate. */
export const loraFields = {
  rankPattern: z
    .record(modulePath, z.int().min(1).max(4096))
    .default({})
    .meta({
      description:
        'Another rank for modules whose path ends so (PEFT rank_pattern, without regular expressions).',
      examples: [{ down_proj: 32, 'layers.0.self_attn.q_proj': 8 }],
    }),
  alphaPattern: z
    .record(modulePath, z.number().gt(0).max(1_000_000_000))
    .default({})
    .meta({
      description: 'Another loraAlpha for modules whose path ends so (PEFT alpha_pattern).',
      examples: [{ down_proj: 64 }],
    }),
  loraplusLrRatio: z
    .number()
    .gt(0)
    .max(1e6)
    .default(1)
    .describe(
      'LoRA+: how many times higher the rate of B is than that of A (PEFT loraplus_lr_ratio). 1: plain LoRA.',
    ),
  labelSmoothingFactor: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe(
      'Share of each target that is spread over the vocabulary (TRL label_smoothing_factor). The training loss includes it, the evaluation loss does not.',
    ),
  neftuneNoiseAlpha: z
    .number()
    .min(0)
    .max(1000)
    .default(0)
    .describe(
      'NEFTune: noise on the embeddings while training (TRL neftune_noise_alpha); 5 is common, 0 none.',
    ),
  optim: z
    .enum([
      'adamw_torch',
      'adamw_torch_fused',
      'paged_adamw_32bit',
      'adamw_8bit',
      'adamw_bnb_8bit',
      'paged_adamw_8bit',
    ])
    .default('adamw_torch')
    .describe(
      "AdamW (TRL optim) with moments in float32, or in 8 bits by blocks (bitsandbytes' 8-bit AdamW). The fused and the paged names are the same two here: nothing is paged.",
    ),
}
