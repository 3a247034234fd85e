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

/** The dimension of things one after the other: multiples of the same unknowns add up, others give a name of its own. */
export function sum(dims: Shape): Dim {
  const factors = new Map<string, number>()
  for (const dim of dims) {
    const { factor, names } = factorsOf(dim)
    const key = names.join('*')
    factors.set(key, (factors.get(key) ?? 0) + factor)
  }
  const terms = Array.from(factors, ([key, factor]) => product(key === '' ? [factor] : [factor, key]))
  const present = terms.filter((term) => term !== 0).sort()
  return present.length > 1 ? `(${present.join('+')})` : (present[0] ?? 0)
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
