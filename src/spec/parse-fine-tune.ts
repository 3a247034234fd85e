import { InputError } from '../errors.ts'
import { crossFieldProblems } from './cross-field-checks.ts'
import { explainIssue, meantField } from './explain-issue.ts'
import { fineTuneSchema } from './fine-tune.ts'
import type { FineTuneSpec } from './fine-tune.ts'
import { pathText } from './problem.ts'
import type { Problem } from './problem.ts'
import { readYaml } from './read-yaml.ts'

/**
 * A FineTune document, checked and with every default filled in. `where` names it in errors (the file, "request body").
 * Throws one InputError with all that is wrong, a line each: the field's path, what is wrong, the mend.
 */
export function parseFineTune(source: string | object, where: string): { name: string; spec: FineTuneSpec } {
  const { document, lineOf } =
    typeof source === 'string' ? readYaml(source, where) : { document: source, lineOf: () => undefined }
  const parsed = fineTuneSchema.safeParse(document)
  const problems = [
    ...(parsed.success ? [] : schemaProblems(parsed.error.issues, document)),
    ...crossFieldProblems(document),
  ]
  if (!parsed.success || problems.length > 0) throw new InputError(problemsText(problems, where, lineOf))
  const { metadata, spec } = parsed.data
  return { name: metadata.name, spec: { ...spec, publish: { name: spec.publish.name ?? metadata.name } } }
}

function schemaProblems(issues: Parameters<typeof explainIssue>[0][], document: unknown): Problem[] {
  const problems = issues.flatMap((issue) => explainIssue(issue, document))
  // A misspelt required field is one mistake, not an unknown field and a missing one.
  const meant = new Set(
    issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => pathText(meantField(issue.path, key) ?? []))
        : [],
    ),
  )
  return problems.filter(({ path, missing }) => !(missing === true && meant.has(pathText(path))))
}

function problemsText(
  problems: readonly Problem[],
  where: string,
  lineOf: (path: readonly PropertyKey[]) => number | undefined,
): string {
  const located = problems.map((problem) => ({ ...problem, line: lineOf(problem.path) }))
  located.sort((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity) || 0)
  const lines = located.map(({ path, text, line }) => {
    return `${path.length === 0 ? 'the document' : pathText(path)}: ${text}${line === undefined ? '' : ` (line ${line})`}`
  })
  if (lines.length === 1) return `${where}: ${lines[0]}`
  return `${where} has ${lines.length} errors:\n${lines.map((line) => `  ${line}`).join('\n')}`
}
