/** From a measured ratio to a line of the report. */
import type { Gate } from "./gates.ts"

export type Verdict = "stretch" | "gate" | "MISSED"

export interface Row {
  readonly name: string
  readonly measured: number
  readonly gate: number
  readonly stretch: number
  readonly verdict: Verdict
  /** The two sides, in words. */
  readonly sides: string
  readonly note: string
}

export const verdict = (measured: number, { gate, stretch }: Pick<Gate, "gate" | "stretch">): Verdict =>
  measured <= stretch ? "stretch" : measured <= gate ? "gate" : "MISSED"

export const row = (gate: Gate, measured: number, sides: string): Row => ({
  ...gate,
  measured,
  verdict: verdict(measured, gate),
  sides
})

const nameWidth = 43
const numberWidth = 10

export const heading = [
  "what : against".padEnd(nameWidth),
  "measured".padStart(numberWidth),
  "gate".padStart(numberWidth),
  "stretch".padStart(numberWidth),
  "  verdict"
].join("")

/** `name measured gate stretch verdict`, in columns. */
export const line = ({ gate, measured, name, stretch, verdict }: Row): string =>
  [
    name.padEnd(nameWidth),
    ratio(measured).padStart(numberWidth),
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
