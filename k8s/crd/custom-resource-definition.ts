import { GROUP, VERSION } from '../fine-tune-resource.ts'
import type { StructuralSchema } from './structural-schema.ts'

interface Definition {
  kind: string
  plural: string
  shortName: string
  columns: { name: string; type: string; jsonPath: string }[]
  description: string
  spec: StructuralSchema
  status: StructuralSchema
  /** CEL rules over the whole document. */
  validations?: { rule: string; message: string }[]
}

/** The CustomResourceDefinition of a namespaced kind of our group, with a status of its own. */
export function customResourceDefinition(definition: Definition): object {
  const { kind, plural, shortName, columns, description, spec, status, validations } = definition
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [shortName],
        categories: ['temper'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                // A name becomes the published model's name, which is one label.
                metadata: { type: 'object', properties: { name: { type: 'string', maxLength: 63 } } },
                spec,
                status,
              },
              ...(validations && { 'x-kubernetes-validations': validations }),
            },
          },
        },
      ],
    },
  }
}

export const column = (name: string, type: string, jsonPath: string) => ({ name, type, jsonPath })
