/**
 * Time that only goes forward, for everything that measures how long something took, or how old it is.
 *
 * It counts the time for which the process was stopped, and the time for which the whole machine slept. Linux's
 * monotonic clock stands still while the machine sleeps, so what the wall clock ran ahead of it since the last look
 * counts as time that passed. The two cannot tell a machine that slept from a wall clock that was set forward: such a
 * step makes every value look that much older, which costs one verification. A wall clock that is set back changes
 * nothing. If the monotonic clock itself goes back, as that of another source of time may, the time goes on from where
 * it was.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"

const nanosPerMilli = 1_000_000

/** By how many milliseconds the wall clock must run ahead between two looks to count: NTP slews it by less. */
const shortestSleep = 100

/** What was seen of a clock. */
interface Seen {
  /** The wall clock minus the monotonic one, at the last look, in milliseconds. */
  drift: number
  /** For how long the machine slept so far, and by how much the monotonic clock went back, in milliseconds. */
  ahead: number
  /** The last answer. */
  last: number
}

const seen = new WeakMap<Clock.Clock, Seen>()

/** Milliseconds since a moment that never changes while the process runs. */
export const millisOf = (clock: Clock.Clock): number => {
  // The wall clock first: a pause between the two makes the next drift larger, and thus values older, never younger.
  const wall = clock.currentTimeMillisUnsafe()
  const steady = Number(clock.monotonicTimeNanosUnsafe()) / nanosPerMilli
  const drift = wall - steady
  const known = seen.get(clock)
  if (known === undefined) {
    seen.set(clock, { drift, ahead: 0, last: steady })
    return steady
  }
  if (drift - known.drift >= shortestSleep) known.ahead += drift - known.drift
  known.drift = drift
  known.ahead = Math.max(known.ahead, known.last - steady)
  known.last = steady + known.ahead
  return known.last
}

/** See {@link millisOf}. */
export const millis: Effect.Effect<number> = Effect.clockWith((clock) => Effect.sync(() => millisOf(clock)))

/** The time of day at such a moment, by the wall clock as it is set now. */
export const timeOfDay = (clock: Clock.Clock, moment: number): DateTime.Utc =>
  DateTime.makeUnsafe(Math.max(Math.round(clock.currentTimeMillisUnsafe() - (millisOf(clock) - moment)), earliest))

/** The earliest time that a date can hold: a clock that leaps may put a moment before it. */
const earliest = -8.64e15

/**
 * Runs an effect that asks for the time of day in order to measure, as Effect's stores of rates and circuits do, by
 * this clock: otherwise a wall clock that is set back an hour would hold them up for that hour.
 */
export const measured = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.clockWith((clock) => Effect.provideService(effect, Clock.Clock, monotonic(clock)))

const monotonic = (clock: Clock.Clock): Clock.Clock => {
  const now = () => millisOf(clock)
  return {
    currentTimeMillisUnsafe: now,
    currentTimeMillis: Effect.sync(now),
    currentTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    currentTimeNanos: clock.monotonicTimeNanos,
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
}
