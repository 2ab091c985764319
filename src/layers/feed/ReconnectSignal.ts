/**
 * The pause between two attempts to reach a tenant, and what cuts it short: that another tenant got through.
 *
 * Many tenants share a server, and nobody here knows which. When one that had failed gets through, its server is back, and
 * those that sleep through a long back-off would find it so: they are woken, each after a drawn share of the first delay. So
 * hundreds of tenants come back within a second of the first one, as fast as the bounds on connecting let them.
 *
 * Those of another server, which is still dead, are woken in vain. Whoever was, sleeps through its next pause: however often
 * others come and go, nobody makes more than two attempts where it would have made one.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Backoff from "../../schema/Backoff.ts"

export class ReconnectSignal extends Context.Service<
  ReconnectSignal,
  {
    /** Sleeps for so many milliseconds, or less where somebody gets through. Returns whether it was cut short. */
    readonly pause: (millis: number, mayBeCutShort: boolean) => Effect.Effect<boolean>
    /** A tenant that had failed got through. */
    readonly recovered: Effect.Effect<void>
  }
>()("effect-systemplane/layers/ReconnectSignal") {}

const make = (reconnect: Backoff.Backoff) =>
  Effect.sync(() => {
    let through = Deferred.makeUnsafe<void>()
    const soon = Effect.flatMap(Random.next, (drawn) => Effect.sleep(Backoff.delay(reconnect, 1, drawn)))

    return ReconnectSignal.of({
      pause: (millis, mayBeCutShort) =>
        Effect.suspend(() => {
          const slept = Effect.as(Effect.sleep(millis), false)
          if (!mayBeCutShort) return slept
          return Effect.raceFirst(slept, Effect.as(Effect.andThen(Deferred.await(through), soon), true))
        }),
      recovered: Effect.sync(() => {
        const waiting = through
        through = Deferred.makeUnsafe()
        Deferred.doneUnsafe(waiting, Effect.void)
      })
    })
  })

export const layer = (options: { readonly reconnect: Backoff.Backoff }) =>
  Layer.effect(ReconnectSignal, make(options.reconnect))
