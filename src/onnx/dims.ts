/**
 * A dimension: a number, or a product of named unknowns such as 'B', 'B*T' or '3*T' (a sum is a name of its own: '(P+T)').
 * Products are kept in one canonical order, so that equal dimensions are equal strings.
 */
export type Dim = number | string
export type Shape = readonly Dim[]

/** The product of dimensions, canonical. */
export function product(dims: Shape): Dim {
  let factor = 1
  const names: string[] = []
  for (const dim of dims) {
    const parsed = factorsOf(dim)
    factor *= parsed.factor
    names.push(...parsed.names)
  }
  if (names.length === 0 || factor === 0) return factor
  names.sort()
  return (factor === 1 ? names : [factor, ...names]).join('*')
}

/** The number and the names that a dimension is the product of. */
export function factorsOf(dim: Dim): { factor: number; names: string[] } {
  if (typeof dim === 'number') return { factor: dim, names: [] }
  const parts = dim.split('*')
  const factor = Number(parts[0])
  return Number.isNaN(factor) ? { factor: 1, names: parts } : { factor, names: parts.slice(1) }
}

/** The dimension of two things one after the other. */
export function sum(dims: Shape): Dim {
  const known = dims.reduce<number>((total, dim) => total + (typeof dim === 'number' ? dim : 0), 0)
  const names = dims.filter((dim) => typeof dim === 'string')
  if (names.length === 0) return known
  if (names.length === 1 && known === 0) return names[0] as string
  return `(${[...names, ...(known ? [known] : [])].join('+')})`
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i])
}

/** NumPy's broadcasting, or undefined where the shapes do not fit. */
export function broadcast(a: Shape, b: Shape): Dim[] | undefined {
  const rank = Math.max(a.length, b.length)
  const out: Dim[] = []
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1
    const y = b[b.length - rank + i] ?? 1
    if (x !== y && x !== 1 && y !== 1) return undefined
    out.push(x === 1 ? y : x)
  }
  return out
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`
}
