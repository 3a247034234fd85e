import { LineCounter, isMap, isScalar, isSeq, parseAllDocuments } from 'yaml'
import { InputError } from '../errors.ts'

/** etcd takes no object above 1.5 MiB; a document for Kubernetes has to fit as well. */
const MAX_CHARACTERS = 1_000_000
/** Anchors are for a few repeated lines; more is an expansion attack (CWE-776). */
const MAX_ALIASES = 100

export interface YamlDocument {
  document: unknown
  /** Line (from 1) on which the field stands, or of the nearest thing around it that is there. */
  lineOf: (path: readonly PropertyKey[]) => number | undefined
}

/** One YAML 1.2 document (JSON is YAML) as plain values. Throws InputError with every syntax error and its line. */
export function readYaml(text: string, where: string): YamlDocument {
  if (text.length > MAX_CHARACTERS) {
    throw new InputError(
      `${where} has ${text.length} characters, more than the ${MAX_CHARACTERS} allowed; data belongs into files that it names`,
    )
  }
  const lineCounter = new LineCounter()
  const documents = parseAllDocuments(text, {
    lineCounter,
    version: '1.2',
    merge: false,
    prettyErrors: false,
  })
  const [first, second] = documents
  if (first === undefined) throw new InputError(`${where} is empty; write a FineTune document into it`)
  if (second !== undefined) {
    throw new InputError(
      `${where} has ${documents.length} documents (separated by ---); put each into a file of its own`,
    )
  }
  const faults = [...first.errors, ...first.warnings].map(
    ({ message, pos }) => `line ${lineCounter.linePos(pos[0]).line}: ${message.replaceAll('\n', ' ')}`,
  )
  if (faults.length === 1) throw new InputError(`${where}: ${faults[0]}; mend the YAML there`)
  if (faults.length > 1) {
    throw new InputError(`${where} is not valid YAML:\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
  }
  const lineOf = (path: readonly PropertyKey[]) => {
    let node: unknown = first.contents
    let offset: number | undefined
    for (const segment of path) {
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => (isScalar(key) ? key.value : key) === segment)
        if (pair === undefined) break
        if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset
        node = pair.value
      } else if (isSeq(node) && typeof segment === 'number') {
        const item: unknown = node.items[segment]
        if (isScalar(item) || isMap(item) || isSeq(item)) offset = item.range?.[0] ?? offset
        node = item
      } else break
    }
    return offset === undefined ? undefined : lineCounter.linePos(offset).line
  }
  return { document: toPlain(first, where), lineOf }
}

function toPlain(document: { toJS(options: { maxAliasCount: number }): unknown }, where: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (error) {
    throw new InputError(
      `${where}: its YAML aliases cannot be expanded (${(error as Error).message}); write the values out`,
    )
  }
}
