/**
 * What logs and spans show of a defect: its name. The text of an error may hold anything, a connector's password too.
 *
 * All spans of this library are opened here (`withSpan`): they end with that name, and their attributes are names of
 * keys and tenants, an actor or a change id, never a value. Spans of statements show their SQL and never the server's
 * words (PgSpans). What the application's own handler fails with is its own, and logged as it is (ChangeHandlers).
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
 * Recovers from what is not a typed error: a defect, or an interruption that is not the fiber's own. Code of the
 * application may join a fiber that is interrupted elsewhere.
 */
export const recover =
  <B, E2 = never, R2 = never>(handler: (defect: unknown) => Effect.Effect<B, E2, R2>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | B, E | E2, R | R2> =>
    Effect.catchCause(
      effect,
      (cause): Effect.Effect<B, E | E2, R2> =>
        Cause.hasFails(cause) ? Effect.failCause(cause) : handler(Cause.squash(cause))
    )

/** Gives an effect a span that shows a defect by its name. The caller of the effect sees the defect as it is. */
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
