/**
 * Connectors for PostgreSQL, over `@effect/sql-pg`.
 *
 * @stability unstable
 * @since 0.1.0
 */

import type { ConnectionOptions } from "node:tls"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import {
  ConnectorError,
  InvalidAddress,
  ListenFailed,
  ResolverFailed,
  UnknownTenant
} from "../../../schema/ConnectorError.ts"
import { channel } from "../../../schema/Notification.ts"
import { TenantId } from "../../../schema/TenantId.ts"
import { Connector, type ListenSession } from "../../../services/Connector.ts"
import * as Redaction from "../../telemetry/Redaction.ts"
import * as PgAddress from "./PgAddress.ts"
import * as PgFailure from "./PgFailure.ts"
import * as PgSockets from "./PgSockets.ts"
import * as PgSpans from "./PgSpans.ts"
import * as PgTls from "./PgTls.ts"

/**
 * The database of a tenant.
 *
 * @category models
 * @since 0.1.0
 */
export interface PgTarget {
  /** A libpq connection URI, `postgres://user:password@host:port/database`, for statements and, by default, listening. */
  readonly url: Redacted.Redacted
  /** Where to listen, if not at `url`: a pooler in transaction mode cannot listen, so give the server's own address. */
  readonly listenUrl?: Redacted.Redacted | undefined
  /** Takes the place of the password in both URLs. */
  readonly password?: Redacted.Redacted | undefined
  /** TLS, for both addresses; by default as `sslmode` in the URL says. */
  readonly ssl?: boolean | ConnectionOptions | undefined
  /** Connections for statements; the listening session is not among them. Default 4. */
  readonly maxConnections?: number | undefined
  /** How long connecting may take. Default 5 seconds. */
  readonly connectTimeout?: Duration.Input | undefined
  /** Prepared statements; `false` for a pooler that cannot keep them. Default `true`. */
  readonly prepare?: boolean | undefined
}

/** Statements and listening sessions, as `pg_stat_activity` shows them. */
const applicationName = "effect-systemplane"
const listenApplicationName = "effect-systemplane listen"

/** How long resolving a tenant may take: a secret store answers within seconds, or an operator should hear of it. */
const resolveTimeout = "10 seconds"

/**
 * A connector from a function of the tenant id, run for every new client and session, so that secrets can be fetched and
 * rotated.
 *
 * **Details**
 *
 * `None` means that there is no such tenant; the function has 10 seconds to say so. What the function fails or dies with is reported as `ResolverFailed` by the
 * name of the error only, since its text may hold a secret.
 *
 * **Example** (A password from a secret store)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { PgConnector } from "effect-systemplane"
 * import { directory, vault } from "./infrastructure.ts"
 *
 * const Connector = PgConnector.layerFrom(Effect.fnUntraced(function*(tenant) {
 *   const url = yield* directory.databaseOf(tenant)
 *   const password = yield* vault.read(`databases/${tenant}`)
 *   return Option.some({ url, password })
 * }))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFrom = <E, R>(
  resolve: (tenant: TenantId) => Effect.Effect<Option.Option<PgTarget>, E, R>
): Layer.Layer<Connector, never, R> =>
  Layer.effect(
    Connector,
    Effect.map(Effect.context<R>(), (context) =>
      make((tenant) => resolved(tenant, Effect.provide(resolve(tenant), context)))
    )
  )

/**
 * A connector for an application with one tenant, which then needs no `withTenant`. Its id is `"default"` unless given.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSingle = (options: PgTarget & { readonly tenant?: TenantId | undefined }): Layer.Layer<Connector> => {
  const sole = options.tenant ?? TenantId.make("default")
  return Layer.sync(Connector, () =>
    make((tenant) => (tenant === sole ? Effect.succeed(options) : unknown(tenant)), Option.some(sole))
  )
}

/**
 * A connector for a fixed set of tenants.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRecord = (targets: Readonly<Record<string, PgTarget>>): Layer.Layer<Connector> => {
  const known = new Map(Object.entries(targets))
  return Layer.sync(Connector, () =>
    make((tenant) => {
      const target = known.get(tenant)
      return target === undefined ? unknown(tenant) : Effect.succeed(target)
    })
  )
}

/**
 * A connector whose URLs name the tenant as `{tenant}`: `postgres://app@db/tenant_{tenant}`.
 *
 * **Details**
 *
 * The placeholder may stand anywhere in the URL, more than once. A URL without it would lead all tenants to one database:
 * every tenant then fails with `InvalidAddress`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTemplate = (options: PgTarget): Layer.Layer<Connector> => {
  const fill = (template: Redacted.Redacted, tenant: TenantId) =>
    Redacted.make(Redacted.value(template).replaceAll(placeholder, tenant))
  const templates = [options.url, ...(options.listenUrl ? [options.listenUrl] : [])]
  const everyTenantHasItsOwn = templates.every((url) => Redacted.value(url).includes(placeholder))
  return Layer.sync(Connector, () =>
    make((tenant) =>
      everyTenantHasItsOwn
        ? Effect.succeed({
            ...options,
            url: fill(options.url, tenant),
            listenUrl: options.listenUrl && fill(options.listenUrl, tenant)
          })
        : invalidAddress(tenant, `the template does not contain ${placeholder}`)
    )
  )
}

const placeholder = "{tenant}"

type Target = Effect.Effect<PgTarget, ConnectorError>

const unknown = (tenant: TenantId): Target => Effect.fail(ConnectorError.of(tenant, new UnknownTenant()))

const invalidAddress = (tenant: TenantId, problem: string) =>
  Effect.fail(ConnectorError.of(tenant, new InvalidAddress({ problem })))

/** What code of others resolves a tenant to: in time, and told by the name of the error where it fails. */
const resolved = <E>(tenant: TenantId, resolving: Effect.Effect<Option.Option<PgTarget>, E>): Target =>
  resolving.pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.fail(ConnectorError.of(tenant, new ResolverFailed({ name: Redaction.nameOf(Cause.squash(cause)) })))
    ),
    Effect.timeoutOrElse({
      duration: resolveTimeout,
      orElse: () => Effect.fail(ConnectorError.of(tenant, new ResolverFailed({ name: "a timeout" })))
    }),
    Effect.flatMap(Option.match({ onNone: () => unknown(tenant), onSome: Effect.succeed }))
  )

const make = (target: (tenant: TenantId) => Target, sole: Option.Option<TenantId> = Option.none()) =>
  Connector.of({
    sole,
    client: (tenant) => Effect.flatMap(target(tenant), (target) => openClient(tenant, target)),
    session: (tenant) => Effect.flatMap(target(tenant), (target) => openSession(tenant, target)),
    interchangeable: (tenant) => Effect.map(target(tenant), ({ listenUrl }) => listenUrl === undefined)
  })

const openClient = Effect.fnUntraced(function* (
  tenant: TenantId,
  target: PgTarget
): Effect.fn.Return<SqlClient, ConnectorError, Scope.Scope> {
  const { address, config, sockets } = yield* settings(tenant, target, target.url)
  const client = yield* PgClient.make({
    ...config,
    applicationName,
    maxConnections: target.maxConnections ?? 4,
    prepare: target.prepare ?? true
  }).pipe(
    Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make),
    Effect.mapError((error) => PgFailure.connectFailure(tenant, error, address))
  )
  // Added last, hence run first: the pool then closes sessions that are already dead, and waits for no peer.
  yield* Effect.addFinalizer(() => sockets.destroy)
  PgAddress.remember(client, address)
  return client
})

const openSession = Effect.fnUntraced(function* (
  tenant: TenantId,
  target: PgTarget
): Effect.fn.Return<ListenSession, ConnectorError, Scope.Scope> {
  const { address, config, connectTimeout, sockets } = yield* settings(tenant, target, target.listenUrl ?? target.url)
  const scope = yield* Effect.scope
  // The driver answers interruption by cancelling the statement and draining its answer, which takes 5 seconds where the
  // peer is gone. So the statement runs in a fiber of its own, and the fiber that waits for it destroys the socket first.
  const orAbandon = <A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.flatMap(Effect.forkChild(statement, { startImmediately: true }), (fiber) =>
      Effect.onInterrupt(Fiber.join(fiber), () => sockets.destroy)
    )
  const connection = yield* PgConnection.make({
    ...config,
    applicationName: listenApplicationName,
    // What the pooler cannot keep, it cannot keep for this session either.
    prepare: target.listenUrl !== undefined || (target.prepare ?? true)
  }).pipe(Effect.mapError((error) => PgFailure.connectFailure(tenant, error, address)))
  const session = yield* connection.pin
  const notifications = yield* Scope.provide(session.listen(channel), scope).pipe(
    orAbandon,
    Effect.mapError((error) => PgFailure.listenFailure(tenant, error, address)),
    Effect.timeoutOrElse({
      duration: connectTimeout,
      orElse: () => Effect.fail(ConnectorError.of(tenant, new ListenFailed({ code: "ETIMEDOUT" }), address))
    })
  )
  // Added last, hence run first: UNLISTEN and the rest of the driver's farewell then meet a session that is already dead.
  yield* Effect.addFinalizer(() => sockets.destroy)
  const traced = PgSpans.ofSession(config)
  return {
    query: (sql, params) =>
      traced(
        sql,
        Effect.map(orAbandon(session.query(sql, params)), (result) => result.rows)
      ),
    queryEach: (sql, params, take) =>
      traced(
        sql,
        orAbandon(Stream.runForEachArray(session.stream(sql, params), (rows) => Effect.sync(() => take(rows))))
      ),
    payloads: Queue.takeAll(notifications).pipe(
      Effect.map((batch) => batch.map((notification) => notification.payload)),
      Effect.mapError((error) => PgFailure.sessionLost(tenant, error, address))
    ),
    abandon: sockets.destroy
  }
})

/** What the driver is told of a target, and the sockets that it connects through. */
const settings = Effect.fnUntraced(function* (tenant: TenantId, target: PgTarget, url: Redacted.Redacted) {
  const parsed = PgAddress.parse(Redacted.value(url))
  if (Result.isFailure(parsed)) return yield* invalidAddress(tenant, parsed.failure)
  const location = parsed.success
  const connectTimeout = Option.getOrUndefined(Duration.fromInput(target.connectTimeout ?? timeoutOf(location)))
  if (connectTimeout === undefined) return yield* invalidAddress(tenant, "its connectTimeout is not a duration")
  const ssl = target.ssl ?? (yield* PgTls.options(tenant, location))
  const sockets = PgSockets.make(location.address)
  const config: PgConnection.Config = {
    // Of the URL the driver is left nothing but what no field of its own says: to try TLS first, and to do without.
    ...(ssl === undefined ? { url: Redacted.make("postgres://?sslmode=prefer") } : { ssl }),
    host: location.host,
    port: location.port,
    database: location.database,
    username: location.user,
    password: target.password ?? (location.password === undefined ? undefined : Redacted.make(location.password)),
    startupOptions: location.options,
    connectTimeout,
    stream: sockets.open
  }
  return { config, connectTimeout, sockets, address: PgAddress.show(location) }
})

/** libpq's 0 means no limit; here an attempt ends after half a minute at the latest. */
const timeoutOf = ({ connectTimeout }: PgAddress.Location): Duration.Input =>
  connectTimeout === undefined ? "5 seconds" : Duration.seconds(connectTimeout === 0 ? 30 : connectTimeout)
