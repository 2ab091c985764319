/**
 * Time that only goes forward, for whatever measures how long something took or has left: a step of the wall clock, by hand or
 * by NTP, is no time that passed.
 *
 * It counts the time for which the process was stopped. On Linux it does not count the time for which the whole machine slept:
 * after that, values are believed until the next verification, a third of `maxStaleness` at most.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"

const nanosPerMilli = 1_000_000

/** Milliseconds since a moment that never changes while the process runs. */
export const millisOf = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / nanosPerMilli

/** See {@link millisOf}. */
export const millis: Effect.Effect<number> = Effect.clockWith((clock) => Effect.sync(() => millisOf(clock)))

/** The time of day at such a moment, by the wall clock as it is set now. */
export const timeOfDay = (clock: Clock.Clock, moment: number): DateTime.Utc =>
  DateTime.makeUnsafe(Math.round(clock.currentTimeMillisUnsafe() - (millisOf(clock) - moment)))

/**
 * Runs an effect that asks for the time of day in order to measure, as Effect's stores of rates and circuits do, by this
 * clock: otherwise a wall clock that is set back an hour would hold them up for that hour.
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
