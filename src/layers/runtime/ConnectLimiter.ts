/**
 * How many connections this process opens at once, and how many in a second: the bounds of G11, over everything that connects.
 *
 * Listening sessions and pooled clients have turns of their own, so that a read or a write never queues behind the sessions of
 * hundreds of tenants that come back. The rate is one for all: whoever waits for it has a turn, so that no more wait than there
 * are turns.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import type { TenantId } from "../../schema/TenantId.ts"
import * as MonotonicClock from "./MonotonicClock.ts"
import * as TenantLimiter from "./TenantLimiter.ts"

export interface ConnectLimiterOptions {
  /** Connections that are being opened at once: that many sessions, and that many clients. */
  readonly maxConcurrentActivations: number
  readonly maxConnectsPerSecond: number
}

export class ConnectLimiter extends Context.Service<
  ConnectLimiter,
  {
    /** Opens a listening session when it is the tenant's turn. */
    readonly session: <A, E, R>(tenant: TenantId, open: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Opens a client for statements when it is the tenant's turn. */
    readonly client: <A, E, R>(tenant: TenantId, open: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** The tenant's next attempt is as good as its first: what it resolves to may be another server. */
    readonly forget: (tenant: TenantId) => void
  }
>()("effect-systemplane/layers/ConnectLimiter") {}

/**
 * A server that is there lets a client in within 10 ms, across a continent and with TLS within 200. Whoever takes longer waits
 * for nobody knows what, and should not hold up the next one.
 */
const longestTurn = 250

const make = Effect.fnUntraced(function* (options: ConnectLimiterOptions) {
  const limiter = yield* RateLimiter.make
  const turns = { permits: options.maxConcurrentActivations, longest: longestTurn }
  const sessions = TenantLimiter.make(turns)
  const clients = TenantLimiter.make(turns)

  // A bucket of b tokens, refilled r times a second, lets at most b + r through in any second: a tenth at once, so that a
  // process with a few tenants never waits, and the rest evenly.
  const atOnce = Math.max(1, Math.floor(options.maxConnectsPerSecond / 10))
  const interval = 1000 / Math.max(1, options.maxConnectsPerSecond - atOnce)
  const token = limiter.consume({
    algorithm: "token-bucket",
    onExceeded: "delay",
    key: "connect",
    limit: atOnce,
    window: Duration.millis(atOnce * interval)
  })
  const pace = MonotonicClock.measured(token).pipe(
    // A bucket in memory refuses nothing.
    Effect.orDie,
    Effect.flatMap(({ delay }) => (Duration.isZero(delay) ? Effect.void : Effect.sleep(delay)))
  )

  return ConnectLimiter.of({
    session: (tenant, open) => sessions.take(tenant, open, pace),
    client: (tenant, open) => clients.take(tenant, open, pace),
    forget: (tenant) => {
      sessions.forget(tenant)
      clients.forget(tenant)
    }
  })
})

export const layer = (options: ConnectLimiterOptions) =>
  Layer.effect(ConnectLimiter, make(options)).pipe(Layer.provide(RateLimiter.layerStoreMemory))
