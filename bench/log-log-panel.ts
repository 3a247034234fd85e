export interface Series {
  name: string
  points: { x: number; y: number; reckoned?: number }[]
}

export interface Panel {
  title: string
  xName: string
  xFormat: (x: number) => string
  series: Series[]
  left: number
  top: number
  width: number
  height: number
}

/** Distinct for people who do not tell red from green (Okabe and Ito's palette). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00']
const MARGIN = { left: 52, right: 14, top: 30, bottom: 40 }

/** A group of SVG: lines through points, both axes logarithmic, so that a straight line is a power and its slope the exponent. */
export function logLogPanel({ title, xName, xFormat, series, left, top, width, height }: Panel): string {
  const points = series.flatMap((one) => one.points)
  const xs = [...new Set(points.map((point) => point.x))].sort((a, b) => a - b)
  const ys = points.flatMap(({ y, reckoned }) => [y, ...(reckoned === undefined ? [] : [reckoned])])
  const [lowest, highest] = [Math.min(...ys) / 1.3, Math.max(...ys) * 1.3]
  const [first, last] = [(xs[0] ?? 1) / 1.15, (xs.at(-1) ?? 1) * 1.15]
  const place = (value: number, from: number, to: number) => Math.log(value / from) / Math.log(to / from)
  const px = (x: number) => round(MARGIN.left + place(x, first, last) * (width - MARGIN.left - MARGIN.right))
  const py = (y: number) => round(height - MARGIN.bottom - place(y, lowest, highest) * (height - MARGIN.top - MARGIN.bottom)) // prettier-ignore

  const yTicks = ticks(lowest, highest)
  const grid = [
    ...yTicks.map((y) => `<path d="M${MARGIN.left} ${py(y)}H${width - MARGIN.right}" stroke="#ddd"/><text x="${MARGIN.left - 6}" y="${py(y) + 4}" text-anchor="end">${y}</text>`), // prettier-ignore
    ...xs.map((x) => `<path d="M${px(x)} ${MARGIN.top}V${height - MARGIN.bottom}" stroke="#eee"/><text x="${px(x)}" y="${height - MARGIN.bottom + 14}" text-anchor="middle">${escape(xFormat(x))}</text>`), // prettier-ignore
  ]
  const drawn = series.map(({ name, points: own }, i) => {
    const colour = COLOURS[i % COLOURS.length] as string
    const path = own.map(({ x, y }, at) => `${at === 0 ? 'M' : 'L'}${px(x)} ${py(y)}`).join('')
    const dots = own.map(
      ({ x, y, reckoned }) =>
        `<circle cx="${px(x)}" cy="${py(y)}" r="3.5" fill="${colour}"/>${reckoned === undefined ? '' : `<circle cx="${px(x)}" cy="${py(reckoned)}" r="5" fill="none" stroke="${colour}"/>`}`,
    )
    const legend = `<circle cx="${MARGIN.left + 12}" cy="${MARGIN.top + 12 + 15 * i}" r="3.5" fill="${colour}"/><text x="${MARGIN.left + 20}" y="${MARGIN.top + 16 + 15 * i}">${escape(name)}</text>`
    return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>${dots.join('')}${legend}`
  })
  const frame = `<rect x="${MARGIN.left}" y="${MARGIN.top}" width="${width - MARGIN.left - MARGIN.right}" height="${height - MARGIN.top - MARGIN.bottom}" fill="none" stroke="#999"/>`
  const texts = `<text class="title" x="${MARGIN.left}" y="18">${escape(title)}</text><text x="${(width + MARGIN.left) / 2}" y="${height - 8}" text-anchor="middle">${escape(xName)}</text>`
  return `<g transform="translate(${left} ${top})">${grid.join('')}${frame}${drawn.join('')}${texts}</g>`
}

/** 1, 2 and 5 times the powers of ten. */
function ticks(from: number, to: number): number[] {
  const found: number[] = []
  for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++)
    for (const factor of [1, 2, 5]) {
      const tick = Number((factor * 10 ** power).toPrecision(1))
      if (tick >= from && tick <= to) found.push(tick)
    }
  return found
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
