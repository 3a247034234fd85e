import { stringify } from 'yaml'
import { fineTuneCrd } from '../k8s/crd/fine-tune-crd.ts'
import { fineTuneScheduleCrd } from '../k8s/crd/fine-tune-schedule-crd.ts'

/** The CustomResourceDefinition as the file in the chart. */
export function fineTuneCrdText(): string {
  return textOf(fineTuneCrd())
}

export function fineTuneScheduleCrdText(): string {
  return textOf(fineTuneScheduleCrd())
}

function textOf(definition: object): string {
  const head = '# Generated from src/spec by scripts/generate-schema.ts; change the schema there.\n'
  return head + stringify(definition, { aliasDuplicateObjects: false, lineWidth: 110 })
}
