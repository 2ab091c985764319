/**
 * How many connections this process opens at once, and how many in a second: the bounds of G11, over everything that
 * connects. How many it holds is a matter of each tenant's pool: PgSession, by `maxConnections`.
 *
 * Listening sessions and pooled clients have turns of their own, so that a read or a write never queues behind the
 * sessions of hundreds of tenants that come back. The rate is one for all: an attempt that waits for it has a turn, so
 * that no more wait than there are turns.
 *
 * ```
 *   a tenant that was activated, or connected before ──▶ a turn ──────────────────────────────────▶ the rate ──▶ connects
 *   any other may be an invented id ──▶ half as many turns ──▶ half the rate ──▶ the rate ──▶ connects
 *  statements: newest first ────▶┘                                                 └─ missing: remembered
 * ```
 *
 * A known tenant thus waits behind few attempts of those that may not exist, and these take at most half of the rate. A
 * statement on such a tenant, a read or a write, waits before it has cost a connection, and the newest is next: of
 * 10,000 that come at once 1,000 wait, none for longer than 5 seconds, and one that comes later is served before them.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import { ConnectorError } from "../../schema/ConnectorError.ts"
import { Crowded, EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as MissingTenants from "./MissingTenants.ts"
import * as MonotonicClock from "./MonotonicClock.ts"
import * as NewestFirst from "./NewestFirst.ts"
import * as TenantLimiter from "./TenantLimiter.ts"
import { longestConnectTurn, readTimeout } from "./Timeouts.ts"

export interface ConnectLimiterOptions {
  /** Connections that are being opened at once: that many sessions, and that many clients. */
  readonly maxConcurrentActivations: number
  readonly maxConnectsPerSecond: number
}

type Open = <A, E, R>(tenant: TenantId, open: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ConnectorError, R>

export class ConnectLimiter extends Context.Service<
  ConnectLimiter,
  {
    /**
     * Runs a statement on the tenant's database: at once if the tenant is known, else in its turn, for which it waits 5
     * seconds at most. Fails at once if the tenant was found missing. A statement that got no turn was never run.
     */
    readonly statement: <A, R>(
      tenant: TenantId,
      statement: Effect.Effect<A, EntryStoreError, R>
    ) => Effect.Effect<A, EntryStoreError, R>
    /** Opens a listening session when it is the tenant's turn. Fails at once if the tenant was found missing. */
    readonly session: Open
    /** Opens a client for statements when it is the tenant's turn. Fails at once if the tenant was found missing. */
    readonly client: Open
    /** What the tenant was found missing with, a short while ago. */
    readonly missing: (tenant: TenantId) => Effect.Effect<ConnectorError | undefined>
    /** The application says that there is such a tenant: it is tried at once, with those that connected before. */
    readonly expect: (tenant: TenantId) => void
    /** The application has removed the tenant: from now on its id may as well be invented. */
    readonly dismiss: (tenant: TenantId) => void
    /** The tenant's next attempt is as good as its first: what it resolves to may be another server. */
    readonly forget: (tenant: TenantId) => void
  }
>()("effect-systemplane/layers/ConnectLimiter") {}

/** Statements on tenants that may not exist that wait for a turn, about 10 MB of them. */
const mostWaiting = 1000

/** Tenants that connected before and are remembered. One that is forgotten queues once more as a newcomer. */
const mostProven = 10_000

const make = Effect.fnUntraced(function* (options: ConnectLimiterOptions) {
  const limiter = yield* RateLimiter.make
  const turns = { permits: options.maxConcurrentActivations, longest: longestConnectTurn }
  const turnsOfNewcomers = { permits: Math.max(1, Math.floor(turns.permits / 2)), longest: longestConnectTurn }
  const lanes = () => ({ known: TenantLimiter.make(turns), newcomers: TenantLimiter.make(turnsOfNewcomers) })
  const sessions = lanes()
  const clients = lanes()
  const longestWait = readTimeout(1)
  const statements = TenantLimiter.make({
    ...turnsOfNewcomers,
    turns: NewestFirst.make({
      permits: turnsOfNewcomers.permits,
      mostWaiting,
      longestWait,
      refusal: "crowded" as const
    })
  })
  const missing = MissingTenants.make()
  /** Tenants that the application activated. */
  const expected = new Set<TenantId>()
  /** Tenants that connected before; those that did so last come last. */
  const proven = new Set<TenantId>()

  /**
   * Waits until one more connection is within the rate. A bucket of b tokens, refilled r times a second, lets at most b
   * + r through in any second: a tenth at once, so that a process with a few tenants never waits, and the rest evenly.
   */
  const pacedBy = (key: string, perSecond: number) => {
    const atOnce = Math.max(1, Math.floor(perSecond / 10))
    const interval = 1000 / Math.max(1, perSecond - atOnce)
    const token = limiter.consume({
      algorithm: "token-bucket",
      onExceeded: "delay",
      key,
      limit: atOnce,
      window: Duration.millis(atOnce * interval)
    })
    return MonotonicClock.measured(token).pipe(
      // A bucket in memory refuses nothing.
      Effect.orDie,
      Effect.flatMap(({ delay }) => (Duration.isZero(delay) ? Effect.void : Effect.sleep(delay)))
    )
  }
  const pace = pacedBy("connect", options.maxConnectsPerSecond)
  const paceOfNewcomers = Effect.andThen(pacedBy("newcomers", Math.ceil(options.maxConnectsPerSecond / 2)), pace)

  const prove = (tenant: TenantId) => {
    proven.delete(tenant)
    proven.add(tenant)
    if (proven.size > mostProven) proven.delete(proven.values().next().value!)
  }

  const missed = (tenant: TenantId, error: unknown) =>
    Effect.map(MonotonicClock.millis, (now) => {
      if (expected.has(tenant) || !isConnectorError(error) || !MissingTenants.isMissing(error)) return
      proven.delete(tenant)
      missing.add(tenant, error, now)
    })

  const remembered = (tenant: TenantId) => Effect.map(MonotonicClock.millis, (now) => missing.get(tenant, now))

  const through =
    (lanes: { readonly known: TenantLimiter.TenantLimiter; readonly newcomers: TenantLimiter.TenantLimiter }): Open =>
    (tenant, open) =>
      Effect.suspend(() => {
        const opening = Effect.tap(open, () => Effect.sync(() => prove(tenant)))
        if (expected.has(tenant)) return lanes.known.take(tenant, opening, pace)
        const attempt = Effect.tapError(opening, (error) => missed(tenant, error))
        const inTurn = proven.has(tenant)
          ? lanes.known.take(tenant, attempt, pace)
          : lanes.newcomers.take(tenant, orMissing(tenant, attempt), paceOfNewcomers)
        return orMissing(tenant, inTurn)
      })

  /** Fails at once if the tenant is missing; asked again after a wait, in which another attempt may have found out. */
  const orMissing = <A, E, R>(
    tenant: TenantId,
    attempt: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | ConnectorError, R> =>
    Effect.flatMap(
      remembered(tenant),
      (error): Effect.Effect<A, E | ConnectorError, R> => (error === undefined ? attempt : Effect.fail(error))
    )

  const isKnown = (tenant: TenantId) => expected.has(tenant) || proven.has(tenant)

  const statement = <A, R>(tenant: TenantId, statement: Effect.Effect<A, EntryStoreError, R>) =>
    Effect.suspend((): Effect.Effect<A, EntryStoreError, R> => {
      if (isKnown(tenant)) return statement
      let begun = false
      const begin = Effect.sync(() => {
        begun = true
      })
      const waited = Effect.suspend(() => (begun ? Effect.never : Effect.fail("crowded" as const)))
      const inTurn = Effect.raceFirst(
        statements.take(tenant, statement, begin),
        Effect.delay(waited, longestWait)
      ).pipe(Effect.mapError((error) => (error === "crowded" ? EntryStoreError.of(tenant, new Crowded({})) : error)))
      return Effect.flatMap(remembered(tenant), (error) =>
        error === undefined ? inTurn : Effect.fail(EntryStoreError.from(error))
      )
    })

  return ConnectLimiter.of({
    statement,
    session: through(sessions),
    client: through(clients),
    missing: remembered,
    expect: (tenant) => {
      missing.delete(tenant)
      expected.add(tenant)
    },
    dismiss: (tenant) => {
      expected.delete(tenant)
      proven.delete(tenant)
    },
    forget: (tenant) => {
      for (const limiter of [statements, sessions.known, sessions.newcomers, clients.known, clients.newcomers]) {
        limiter.forget(tenant)
      }
    }
  })
})

const isConnectorError = Schema.is(ConnectorError)

export const layer = (options: ConnectLimiterOptions) =>
  Layer.effect(ConnectLimiter, make(options)).pipe(Layer.provide(RateLimiter.layerStoreMemory))
