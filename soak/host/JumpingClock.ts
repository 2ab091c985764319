/**
 * A wall clock that is set forward and back, as a machine's is that slept or that an administrator corrects. The
 * monotonic clock and the timers go on, as they do there.
 */
import { Clock, Effect, Random } from "effect"

export interface JumpingClock {
  readonly clock: Clock.Clock
  /** By how many milliseconds it is ahead of the true time now. */
  readonly ahead: () => number
  /** Sets it again and again; goes on until interrupted. */
  readonly run: Effect.Effect<never>
}

/** Average pause between two steps, and the largest step, in milliseconds. */
const pause = 10_000
const largest = 3_600_000

export const make = Effect.gen(function* () {
  const steady = yield* Clock.Clock
  let ahead = 0
  const millis = () => steady.currentTimeMillisUnsafe() + ahead
  const nanos = () => steady.currentTimeNanosUnsafe() + BigInt(ahead) * 1_000_000n
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: () => steady.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: steady.monotonicTimeNanos,
    sleep: (duration) => steady.sleep(duration)
  }
  const step = Effect.gen(function* () {
    yield* Effect.sleep(yield* Random.nextBetween(0, 2 * pause))
    // Steps of a second are as frequent as steps of an hour.
    const size = Math.round(largest ** (0.4 + 0.6 * (yield* Random.next)))
    ahead = (yield* Random.nextBoolean) ? size : -size
  })
  return { clock, ahead: () => ahead, run: Effect.forever(step) } satisfies JumpingClock
})
