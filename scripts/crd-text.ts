import { stringify } from 'yaml'
import { fineTuneCrd } from '../k8s/crd/fine-tune-crd.ts'

/** The CustomResourceDefinition as the file in the chart. */
export function fineTuneCrdText(): string {
  const head = '# Generated from src/spec by scripts/generate-schema.ts; change the schema there.\n'
  return head + stringify(fineTuneCrd(), { aliasDuplicateObjects: false, lineWidth: 110 })
}
