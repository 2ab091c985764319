/** From a measured ratio to a line of the report. */
import type { Gate } from "./gates.ts"

/** `"gate < floor"`: missed, and in the same run the floor by itself took longer than the gate allows. */
export type Verdict = "stretch" | "gate" | "gate < floor" | "MISSED"

export interface Row {
  readonly name: string
  readonly measured: number
  /** The same ratio of what cannot be left out, without anything of the plane's engine; if it was measured. */
  readonly floor?: number | undefined
  readonly gate: number
  readonly stretch: number
  readonly verdict: Verdict
  /** The two sides, in words. */
  readonly sides: string
  readonly note: string
}

export const verdict = (
  measured: number,
  { gate, stretch }: Pick<Gate, "gate" | "stretch">,
  floor?: number | undefined
): Verdict => {
  if (measured <= stretch) return "stretch"
  if (measured <= gate) return "gate"
  return floor !== undefined && floor > gate ? "gate < floor" : "MISSED"
}

export const row = (gate: Gate, measured: number, sides: string, floor?: number | undefined): Row => ({
  ...gate,
  measured,
  floor,
  verdict: verdict(measured, gate, floor),
  sides
})

const nameWidth = 43
const numberWidth = 10

export const heading = [
  "what : against".padEnd(nameWidth),
  "measured".padStart(numberWidth),
  "floor".padStart(numberWidth),
  "gate".padStart(numberWidth),
  "stretch".padStart(numberWidth),
  "  verdict"
].join("")

/** `name measured floor gate stretch verdict`, in columns. */
export const line = ({ floor, gate, measured, name, stretch, verdict }: Row): string =>
  [
    name.padEnd(nameWidth),
    ratio(measured).padStart(numberWidth),
    (floor === undefined ? "" : ratio(floor)).padStart(numberWidth),
    `≤ ${gate}`.padStart(numberWidth),
    `≤ ${stretch}`.padStart(numberWidth),
    `  ${verdict}`
  ].join("")

/** Three significant digits, and never an exponent. */
export const ratio = (value: number): string => {
  if (!Number.isFinite(value)) return String(value)
  if (value === 0) return "0"
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toFixed(Math.min(decimals, 6))
}

const units: ReadonlyArray<readonly [factor: number, unit: string]> = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
  [1, "ns"]
]

/** Nanoseconds in the unit that suits them. */
export const duration = (nanoseconds: number): string => {
  const [factor, unit] = units.find(([factor]) => Math.abs(nanoseconds) >= factor) ?? [1, "ns"]
  return `${ratio(nanoseconds / factor)} ${unit}`
}
