/**
 * Keeps a thousand tenants that fail at once from writing a thousand log lines. The first lines of a kind are logged
 * one by one; those that follow within the same ten seconds are counted, and one line at the end tells the counts.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { countedLinesInterval } from "../runtime/Timeouts.ts"

export interface CountedLines {
  /** Logs a line of this kind, or counts it. */
  readonly log: (kind: string, line: Effect.Effect<void>) => Effect.Effect<void>
}

/**
 * `atOnce` lines of each kind are logged one by one. `summary` logs how many there were of each kind beyond that, by
 * kind.
 */
export const make = Effect.fnUntraced(function* (
  atOnce: number,
  summary: (counts: Readonly<Record<string, number>>) => Effect.Effect<void>
) {
  const run = yield* FiberSet.makeRuntime()
  const lines = new Map<string, number>()
  /** When the interval ends, by the monotonic clock. */
  let until = Number.NEGATIVE_INFINITY
  /** Whether lines were counted that are still to be told. */
  let counting = false

  const tell = Effect.suspend(() => {
    const counts = [...lines].flatMap(([kind, count]) => (count > atOnce ? [[kind, count - atOnce] as const] : []))
    lines.clear()
    until = Number.NEGATIVE_INFINITY
    counting = false
    return counts.length === 0 ? Effect.void : summary(Object.fromEntries(counts))
  })
  // Added after the fibers, hence run before they end.
  yield* Effect.addFinalizer(() => tell)

  return {
    log: (kind, line) =>
      Effect.flatMap(MonotonicClock.millis, (now) => {
        if (now >= until && !counting) {
          lines.clear()
          until = now + countedLinesInterval
        }
        const count = (lines.get(kind) ?? 0) + 1
        lines.set(kind, count)
        if (count <= atOnce) return line
        if (!counting) {
          counting = true
          run(Effect.delay(tell, until - now))
        }
        return Effect.void
      })
  } satisfies CountedLines
})
