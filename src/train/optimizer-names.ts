import type { FineTuneSpec } from '../spec/fine-tune.ts'

/** Bits of AdamW's moments by transformers' name of the optimizer. Nothing is paged: a paged optimizer is the same one, elsewhere. */
export function optimizerBits(name: FineTuneSpec['train']['optim']): 8 | 32 {
  switch (name) {
    case 'adamw_torch':
    case 'adamw_torch_fused':
    case 'paged_adamw_32bit':
      return 32
    case 'adamw_8bit':
    case 'adamw_bnb_8bit':
    case 'paged_adamw_8bit':
      return 8
  }
}
