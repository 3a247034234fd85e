import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A field of an API object as @kubernetes/client-node documents it. */
export interface FieldDoc {
  name: string
  /** As TypeScript has it: `string`, `Array<V1ContainerPort>`. */
  type: string
  required: boolean
  description: string
}

/** An API object: `Container`, with what its documentation says. */
export interface KindDoc {
  kind: string
  description: string
  fields: FieldDoc[]
}

/** Classes of the stable versions: `V1Container`, `V2MetricSpec`, `CoreV1Event`. */
const STABLE_CLASS = /^(?:[A-Z][a-z]+)?V[12](?=[A-Z])/
const CLASS = /\/\*\*\n\* (.*)\n\*\/\nexport declare class (\w+)/
const FIELD = /\/\*\*\n {4}\* (.*)\n {4}\*\/\n {4}'(\w+)'(\??): (.*);/g

/** The documentation in the declarations of the installed @kubernetes/client-node, in the order of the file names. */
export function readModelDocs(): KindDoc[] {
  const models = fileURLToPath(new URL('./gen/models/', import.meta.resolve('@kubernetes/client-node')))
  const kinds: KindDoc[] = []
  for (const file of readdirSync(models).sort()) {
    if (!file.endsWith('.d.ts') || !STABLE_CLASS.test(file)) continue
    const source = readFileSync(`${models}${file}`, 'utf8')
    const [, description = '', className = ''] = CLASS.exec(source) ?? []
    if (className === '') continue
    const fields = [...source.matchAll(FIELD)].map(
      ([, text = '', name = '', optional = '', type = '']): FieldDoc => ({
        name,
        type,
        required: optional === '',
        description: unescape(text),
      }),
    )
    kinds.push({ kind: kindName(className), description: unescape(description), fields })
  }
  if (kinds.length === 0) throw new Error(`no documentation was found in ${models}`)
  return kinds
}

/** `V1Container` → `Container`. */
export function kindName(className: string): string {
  return className.replace(STABLE_CLASS, '')
}

/** The generator escapes quotes as in a string. */
const unescape = (text: string) => text.replace(/\\(['"\\])/g, '$1')
