import { InputError } from '../errors.ts'
import { explainIssue, meantField } from './explain-issue.ts'
import type { JsonSchema } from './json-schema.ts'
import { pathText } from './problem.ts'
import type { Problem } from './problem.ts'
import { readYaml, type YamlDocument } from './read-yaml.ts'

/** A document given as text or as plain values; only text has lines. */
export function readDocument(source: string | object, where: string): YamlDocument {
  return typeof source === 'string' ? readYaml(source, where) : { document: source, lineOf: () => undefined }
}

/** What a schema finds, in the user's words. */
export function schemaProblems(
  issues: Parameters<typeof explainIssue>[0][],
  document: unknown,
  schema: JsonSchema,
): Problem[] {
  const problems = issues.flatMap((issue) => explainIssue(issue, document, schema))
  // A misspelt required field is one mistake, not an unknown field and a missing one.
  const meant = new Set(
    issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => pathText(meantField(issue.path, key, schema) ?? []))
        : [],
    ),
  )
  return problems.filter(({ path, missing }) => !(missing === true && meant.has(pathText(path))))
}

/** One error with all that is wrong, a line each, in the document's order. */
export function documentError(
  problems: readonly Problem[],
  where: string,
  { lineOf }: YamlDocument,
): InputError {
  const located = problems.map((problem) => ({ ...problem, line: lineOf(problem.path) }))
  located.sort((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity) || 0)
  const lines = located.map(({ path, text, line }) => {
    return `${path.length === 0 ? 'the document' : pathText(path)}: ${text}${line === undefined ? '' : ` (line ${line})`}`
  })
  if (lines.length === 1) return new InputError(`${where}: ${lines[0]}`)
  return new InputError(
    `${where} has ${lines.length} errors:\n${lines.map((line) => `  ${line}`).join('\n')}`,
  )
}
