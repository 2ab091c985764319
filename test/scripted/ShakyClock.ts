/** Clocks that misbehave as those of real machines do, over the test's clock. */
import { Clock, Effect } from "effect"
import type { TestClock } from "effect/testing"

export interface ShakyClock {
  /** Sets the wall clock forward, or back: no time passes. */
  readonly step: (millis: number) => void
  /** Sets both clocks back, as another source of time may: no time passes. */
  readonly back: (millis: number) => void
  /** The machine sleeps: the monotonic clock stands still, and no timer fires. */
  readonly sleep: (millis: number) => Effect.Effect<void>
  /** The process computes for a while, within one turn of the event loop. */
  readonly work: (millis: number) => void
  /** The process is stopped for a while: time passes, and no timer fires until the test's clock is moved. */
  readonly pause: (millis: number) => Effect.Effect<void>
}

/** Runs a test, and the plane in it, by such a clock. */
export const withShakyClock = <A, E, R>(test: (shaky: ShakyClock) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Clock.clockWith((clock) => {
    const steady = clock as TestClock.TestClock
    let stepped = 0
    let paused = 0
    const millis = () => steady.currentTimeMillisUnsafe() + stepped + paused
    const nanos = () => BigInt(Math.round(millis() * 1_000_000))
    const monotonic = () => steady.monotonicTimeNanosUnsafe() + BigInt(paused) * 1_000_000n
    const shaky: TestClock.TestClock = {
      ...steady,
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: monotonic,
      monotonicTimeNanos: Effect.sync(monotonic)
    }
    return Effect.provideService(
      test({
        step: (by) => {
          stepped += by
        },
        sleep: (by) =>
          Effect.andThen(
            turn,
            Effect.sync(() => {
              stepped += by
            })
          ),
        work: (by) => {
          paused += by
        },
        back: (by) => {
          paused -= by
        },
        // A process cannot be paused within a turn of the event loop and find itself in the same turn afterwards.
        pause: (by) =>
          Effect.andThen(
            turn,
            Effect.sync(() => {
              paused += by
            })
          )
      }),
      Clock.Clock,
      shaky
    )
  })

/** The next turn of the event loop. */
const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})
