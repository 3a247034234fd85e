import { InputError } from '../errors.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { ALPACA_TEMPLATE } from './alpaca-template.ts'

export interface ChosenTemplate {
  /** The model's own, a named one, or the spec's. */
  name: 'model' | 'alpaca' | 'inline'
  /** For the user: which it is, and why where nobody asked for it. */
  label: string
  source: string
}

/** The template that the spec asks for. InputError where it asks for the model's own and there is none. */
export function chooseTemplate(
  setting: FineTuneSpec['data']['template'],
  { chatTemplate }: Pick<Tokenizer, 'chatTemplate'>,
): ChosenTemplate {
  if (typeof setting === 'object')
    return { name: 'inline', label: "the spec's template", source: setting.jinja }
  if (setting !== 'alpaca' && chatTemplate !== undefined)
    return { name: 'model', label: "the model's own chat template", source: chatTemplate }
  switch (setting) {
    case 'model':
      throw new InputError(
        'spec.data.template: the model has no chat template of its own; choose alpaca, or write one as {jinja: "..."}',
      )
    case 'auto':
      return {
        name: 'alpaca',
        label: 'the alpaca template (the model has no chat template of its own)',
        source: ALPACA_TEMPLATE,
      }
    case 'alpaca':
      return { name: 'alpaca', label: 'the alpaca template', source: ALPACA_TEMPLATE }
  }
}
