/** Rows that are measured together. */
import type { Effect, Scope } from "effect"
import type { Gate } from "./gates.ts"
import type { Row } from "./Report.ts"

export interface Settings {
  /** Fewer rounds and smaller herds: the whole in under three minutes. */
  readonly quick: boolean
  /** The directory of charts. */
  readonly results: URL
}

export interface Section {
  readonly title: string
  readonly gates: ReadonlyArray<Gate>
  readonly measure: (settings: Settings) => Effect.Effect<ReadonlyArray<Row>, unknown, Scope.Scope>
}

export const section = (title: string, gates: Section["gates"], measure: Section["measure"]): Section => ({
  title,
  gates,
  measure
})

/** Those in whose title, or in the name of one of whose rows, the text occurs; letter case does not count. */
export const matching = (sections: ReadonlyArray<Section>, text: string): ReadonlyArray<Section> => {
  const wanted = text.toLowerCase()
  return sections.filter(({ gates, title }) =>
    [title, ...gates.map(({ name }) => name)].some((name) => name.toLowerCase().includes(wanted))
  )
}
