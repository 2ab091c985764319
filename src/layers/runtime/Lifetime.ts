/**
 * Whether a plane is still open. Its `Config` says that it closes, before anything below it does; reads fail with
 * `Closed` from then on, also those that wait, and writes that are under way share what is left of the time that
 * closing may take.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Closed, ConfigError } from "../../schema/ConfigError.ts"
import * as MonotonicClock from "./MonotonicClock.ts"

export class Lifetime extends Context.Service<
  Lifetime,
  {
    readonly isClosed: () => boolean
    /** From now on the plane is closed. Idempotent. */
    readonly close: Effect.Effect<void>
    /** How many milliseconds are left of the time that closing may take. */
    readonly left: Effect.Effect<number>
    /** Fails with `Closed` as soon as the plane is closed. */
    readonly closed: Effect.Effect<never, ConfigError>
    /** Fails with `Closed` if the plane is closed, or as soon as it is. */
    readonly orClosed: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ConfigError, R>
  }
>()("effect-systemplane/layers/Lifetime") {}

export interface LifetimeOptions {
  /** How long closing may take, in milliseconds. */
  readonly drainTimeout: number
}

const closedError = () => new ConfigError({ reason: new Closed() })

export const layer = ({ drainTimeout }: LifetimeOptions) =>
  Layer.sync(Lifetime, () => {
    const closed = Deferred.makeUnsafe<never, ConfigError>()
    let closedAt: number | undefined
    return Lifetime.of({
      isClosed: () => closedAt !== undefined,
      close: Effect.flatMap(MonotonicClock.millis, (now) => {
        closedAt ??= now
        return Deferred.fail(closed, closedError())
      }),
      left: Effect.map(MonotonicClock.millis, (now) => Math.max(0, drainTimeout - (now - (closedAt ?? now)))),
      closed: Deferred.await(closed),
      orClosed: <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | ConfigError, R> =>
        Effect.suspend(
          (): Effect.Effect<A, E | ConfigError, R> =>
            closedAt === undefined ? Effect.raceFirst(effect, Deferred.await(closed)) : Effect.fail(closedError())
        )
    })
  })
