import { readFileSync } from 'node:fs'
import { type Pair, type Scalar, type YAMLMap, isMap, parseDocument } from 'yaml'

/** The chart's README: every value with its default and the comment above it, taken from values.yaml. */
export function valuesReference(): string {
  const text = readFileSync(new URL('../charts/temper/values.yaml', import.meta.url), 'utf8')
  const { contents } = parseDocument<YAMLMap<Scalar<string>>>(text)
  const rows = isMap(contents) ? rowsOf(contents, '') : []
  return `# The chart's values

Generated from values.yaml by scripts/generate-values-reference.ts. How the chart is used: docs/kubernetes.md.

| Value | Default | What it is |
| --- | --- | --- |
${rows.join('\n')}
`
}

function rowsOf(map: YAMLMap<Scalar<string>>, above: string): string[] {
  return map.items.flatMap((pair: Pair<Scalar<string>>, index) => {
    const path = `${above}${pair.key.value}`
    // The comment above the first entry of a map belongs to the map in this library.
    const own = pair.key.commentBefore ?? (index === 0 ? map.commentBefore : undefined)
    const text = (own ?? '').trim().replaceAll(/\n\s*/g, ' ').replaceAll('|', '\\|')
    if (isMap(pair.value) && pair.value.items.length > 0 && !pair.value.flow) {
      const inner = rowsOf(pair.value as YAMLMap<Scalar<string>>, `${path}.`)
      return text === '' ? inner : [`| \`${path}\` | | ${text} |`, ...inner]
    }
    const value = JSON.stringify((pair.value as { toJSON(): unknown } | null)?.toJSON())
    return [`| \`${path}\` | \`${value}\` | ${text} |`]
  })
}
