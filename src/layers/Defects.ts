/**
 * What is told of defects. The text of an error may hold anything, a connector's password too: logs and spans tell its name.
 */
import * as Effect from "effect/Effect"

/** The tag or the name of an error, and nothing of what it says. */
export const nameOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null) return `a ${typeof error}`
  if ("_tag" in error && typeof error._tag === "string") return error._tag
  return error instanceof Error ? error.name : "an object"
}

/** Logs that something of a tenant died. */
export const log = (
  level: "Error" | "Debug",
  what: string,
  { defect, tenant }: { readonly defect: unknown; readonly tenant: string }
): Effect.Effect<void> =>
  (level === "Error" ? Effect.logError(what) : Effect.logDebug(what)).pipe(
    Effect.annotateLogs({ tenant, defect: nameOf(defect) })
  )

/** Gives an effect a span that tells a defect by its name. Whoever runs the effect sees the defect as it is. */
export const withSpan =
  (name: string, attributes: Record<string, unknown>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    effect.pipe(
      Effect.catchDefect((defect) => Effect.die(new Died(defect))),
      Effect.withSpan(name, { attributes }),
      Effect.catchDefect((died) => Effect.die(died instanceof Died ? died.defect() : died))
    ) as Effect.Effect<A, E, R>

class Died extends Error {
  override readonly name = "Died"
  readonly #defect: unknown
  constructor(defect: unknown) {
    super(`It died with ${nameOf(defect)}`)
    this.#defect = defect
  }
  defect(): unknown {
    return this.#defect
  }
}
