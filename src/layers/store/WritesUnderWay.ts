/**
 * Writes, each in a fiber of its own: a caller that is interrupted, as by a timeout, stops waiting at once, and the
 * write goes on to its definite end. When the plane closes, the writes under way are waited for as long as closing may
 * take. Those that were not answered by then are unknown, and their callers are told so; no caller is interrupted by
 * closing.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import { Closed, ConfigError } from "../../schema/ConfigError.ts"
import { Lifetime } from "../runtime/Lifetime.ts"

export const make = Effect.gen(function* () {
  const lifetime = yield* Lifetime
  const fibers = yield* FiberSet.make()
  // Added last, hence run before the fibers that are left are interrupted.
  yield* Effect.addFinalizer(() =>
    lifetime.close.pipe(
      Effect.andThen(lifetime.left),
      Effect.flatMap((left) => Effect.timeoutOption(FiberSet.awaitEmpty(fibers), left))
    )
  )

  return {
    /**
     * Runs a write. Interrupting it ends the waiting, and not the write. `unknown` is what it fails with if closing cut
     * it short.
     */
    run: <A>(write: Effect.Effect<A, ConfigError>, unknown: () => ConfigError): Effect.Effect<A, ConfigError> =>
      Effect.suspend(() => {
        if (lifetime.isClosed()) return Effect.fail(new ConfigError({ reason: new Closed() }))
        return Effect.flatMap(FiberSet.run(fibers, write), Fiber.await).pipe(
          Effect.flatMap((exit) =>
            Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? Effect.fail(unknown()) : exit
          )
        )
      })
  }
})
