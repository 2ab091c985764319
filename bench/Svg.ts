/**
 * Charts as SVG: a row of panels, each with a logarithmic scale to the right and a linear or logarithmic one upwards.
 */

export interface Series {
  readonly name: string
  readonly points: ReadonlyArray<{ readonly x: number; readonly y: number }>
}

export interface Panel {
  readonly title: string
  readonly x: string
  readonly y: string
  /** If it tells more, both scales are logarithmic: what is proportional is then a straight line. */
  readonly logarithmic?: boolean
  readonly series: ReadonlyArray<Series>
}

const width = 420
const height = 320
const margin = { left: 64, right: 16, top: 64, bottom: 48 }
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]

/** From a value to a position: the ends of the domain lie at the ends of the range. */
export const scale = (
  domain: readonly [from: number, to: number],
  range: readonly [from: number, to: number],
  logarithmic: boolean
): ((value: number) => number) => {
  const of = logarithmic ? Math.log10 : (value: number) => value
  const [from, to] = [of(domain[0]), of(domain[1])]
  const share = (value: number) => (to === from ? 0.5 : (of(value) - from) / (to - from))
  return (value) => range[0] + share(value) * (range[1] - range[0])
}

/** Powers of ten that span the values. */
export const decades = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const from = Math.floor(Math.log10(Math.min(...values)) + 1e-9)
  const to = Math.ceil(Math.log10(Math.max(...values)) - 1e-9)
  return Array.from({ length: Math.max(to, from + 1) - from + 1 }, (_, i) => 10 ** (from + i))
}

/** About five round numbers from 0 to a little above the highest value. */
export const ticks = (highest: number): ReadonlyArray<number> => {
  const rough = (highest > 0 ? highest : 1) / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough)!
  const count = Math.max(1, Math.ceil(highest / step))
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)))
}

export const number = (value: number): string =>
  value >= 1e6 ? `${value / 1e6}M` : value >= 1000 ? `${value / 1000}k` : String(value)

const escapeText = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const text = (x: number, y: number, content: string, attributes = "") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escapeText(content)}</text>`

const panel = ({ logarithmic = false, series, title, x, y }: Panel, left: number): string => {
  const points = series.flatMap(({ points }) => points)
  const acrossTicks = decades(points.map(({ x }) => x))
  const upTicks = logarithmic ? decades(points.map(({ y }) => y)) : ticks(Math.max(...points.map(({ y }) => y)))
  const inner = { left: left + margin.left, right: left + width - margin.right, bottom: height - margin.bottom }
  const across = scale([acrossTicks[0]!, acrossTicks.at(-1)!], [inner.left, inner.right], true)
  const up = scale([upTicks[0]!, upTicks.at(-1)!], [inner.bottom, margin.top], logarithmic)
  const centre = (inner.left + inner.right) / 2
  const middle = (inner.bottom + margin.top) / 2
  const grid = [
    ...upTicks.map(
      (tick) =>
        `<line x1="${inner.left}" x2="${inner.right}" y1="${up(tick).toFixed(1)}" y2="${up(tick).toFixed(1)}" stroke="#ddd"/>` +
        text(inner.left - 6, up(tick) + 4, number(tick), 'text-anchor="end"')
    ),
    ...acrossTicks.map((tick) => text(across(tick), inner.bottom + 16, number(tick), 'text-anchor="middle"'))
  ]
  const lines = series.flatMap(({ name, points }, i) => {
    const colour = colours[i % colours.length]
    const at = points.map((point) => `${across(point.x).toFixed(1)},${up(point.y).toFixed(1)}`)
    const legendX = inner.left + (i % 2) * 170
    const legendY = 38 + Math.floor(i / 2) * 15
    return [
      `<polyline points="${at.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...points.map(
        (point) => `<circle cx="${across(point.x).toFixed(1)}" cy="${up(point.y).toFixed(1)}" r="3" fill="${colour}"/>`
      ),
      `<line x1="${legendX}" x2="${legendX + 14}" y1="${legendY - 4}" y2="${legendY - 4}" stroke="${colour}" stroke-width="2"/>`,
      text(legendX + 18, legendY, name)
    ]
  })
  return [
    text(centre, 20, title, 'text-anchor="middle" font-weight="bold" font-size="13"'),
    ...grid,
    ...lines,
    text(centre, height - 10, x, 'text-anchor="middle"'),
    text(left + 14, middle, y, `text-anchor="middle" transform="rotate(-90 ${left + 14} ${middle})"`)
  ].join("\n")
}

/** The panels side by side, as a document of its own. */
export const render = (title: string, panels: ReadonlyArray<Panel>): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width * panels.length} ${height}" width="${width * panels.length}" height="${height}" font-family="sans-serif" font-size="11" fill="#222">`,
    `<title>${escapeText(title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...panels.map((each, i) => panel(each, i * width)),
    "</svg>\n"
  ].join("\n")
