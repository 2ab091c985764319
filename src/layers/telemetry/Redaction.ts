/**
 * What is told of defects. The text of an error may hold anything, a connector's password too: logs and spans tell its name.
 */
import * as Cause from "effect/Cause"
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

/**
 * Recovers from what is no typed error: a defect, or an interruption that is not the fiber's own. Code of others may join a fiber
 * that somebody else interrupts.
 */
export const recover =
  <B, E2 = never, R2 = never>(handler: (defect: unknown) => Effect.Effect<B, E2, R2>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | B, E | E2, R | R2> =>
    Effect.catchCause(
      effect,
      (cause): Effect.Effect<B, E | E2, R2> =>
        Cause.hasFails(cause) ? Effect.failCause(cause) : handler(Cause.squash(cause))
    )

/** Gives an effect a span that tells a defect by its name. Whoever runs the effect sees the defect as it is. */
export const withSpan =
  (name: string, attributes: Record<string, unknown>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    effect.pipe(
      Effect.catchDefect((defect) => Effect.die(new Died(defect))),
      Effect.withSpan(name, { attributes }, { captureStackTrace: false }),
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
