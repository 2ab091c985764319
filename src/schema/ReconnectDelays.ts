/**
 * The pauses between two attempts to reach a tenant, as an Effect `Schedule`. What cuts one short is in
 * ReconnectSignal, and when the delays begin anew in ReconnectingFeed.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

/**
 * The bounds of the pauses.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReconnectBounds {
  /** The bound of the first pause. Default 500 milliseconds. */
  readonly base?: Duration.Input | undefined
  /** No pause is longer. Default 30 seconds. */
  readonly cap?: Duration.Input | undefined
}

/** The default bounds. */
export const defaults = { base: "500 millis", cap: "30 seconds" } as const satisfies ReconnectBounds

/**
 * Exponential pauses with a cap and full jitter, for ever: what the option `reconnect` makes of `{ base, cap }`.
 *
 * **Details**
 *
 * Each pause is drawn evenly between nothing and a bound, which begins at `base` and doubles up to `cap`. That spreads
 * the sessions of many tenants best when a server comes back
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/); `Schedule.jittered` draws from 80 to 120
 * % only. The engine begins the schedule anew after a success.
 *
 * **Example** (Shorter pauses, and a schedule of one's own)
 *
 * ```ts
 * import { Schedule } from "effect"
 * import { Reconnect, type SystemplaneOptions } from "effect-systemplane"
 *
 * const shorter: SystemplaneOptions["reconnect"] = Reconnect.schedule({ base: "100 millis", cap: "5 seconds" })
 * const steady: SystemplaneOptions["reconnect"] = Schedule.jittered(Schedule.spaced("2 seconds"))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const schedule = (bounds: ReconnectBounds = {}): Schedule.Schedule<Duration.Duration> =>
  Schedule.min([Schedule.exponential(bounds.base ?? defaults.base), Schedule.spaced(bounds.cap ?? defaults.cap)]).pipe(
    Schedule.modifyDelay(({ duration }) => Random.nextBetween(0, Duration.toMillis(duration)))
  )
