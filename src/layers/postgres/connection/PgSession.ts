/**
 * The two kinds of connection to a tenant's database, over `@effect/sql-pg`: a pooled client for statements, and a
 * session that listens.
 *
 * Both connect through sockets of this library (PgSockets), and closing either destroys them first: the driver says
 * farewell to a peer that may never answer, and meets a connection that is already dead. What the driver fails with is
 * translated here, once (PgFailure), with the address that was tried. Which database belongs to a tenant is not decided
 * here (PgConnector), and neither is whether it may be used (PgOneTenantPerDatabase).
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { ConnectFailed, ConnectorError, InvalidAddress, ListenFailed } from "../../../schema/ConnectorError.ts"
import { channel } from "../../../schema/Notification.ts"
import type { TenantId } from "../../../schema/TenantId.ts"
import type { ListenSession } from "../../../services/Connector.ts"
import * as Timeouts from "../../runtime/Timeouts.ts"
import * as PgAddress from "./PgAddress.ts"
import * as PgFailure from "./PgFailure.ts"
import * as PgPooledClient from "./PgPooledClient.ts"
import * as PgSettings from "./PgSettings.ts"
import * as PgSockets from "./PgSockets.ts"
import * as PgSpans from "./PgSpans.ts"
import type { PgTarget } from "./PgTarget.ts"
import * as PgText from "./PgText.ts"
import * as PgTls from "./PgTls.ts"

/** Statements and listening sessions, as `pg_stat_activity` shows them. */
const applicationName = "effect-systemplane"
const listenApplicationName = "effect-systemplane listen"

/** A pooled client for statements, which connects when the first of them needs it. */
export const openClient = Effect.fnUntraced(function* (
  tenant: TenantId,
  target: PgTarget
): Effect.fn.Return<SqlClient, ConnectorError, Scope.Scope> {
  const { config, server, sockets } = yield* settings(tenant, target, target.url)
  // A pooler is what sessions need an address of their own for, and what prepared statements are switched off for.
  const direct = target.listenUrl === undefined && target.prepare !== false
  const client = yield* PgPooledClient.make(
    { ...config, applicationName, maxConnections: target.maxConnections ?? 4, prepare: target.prepare ?? true },
    (session) => PgSettings.forStatements(session, direct)
  ).pipe(
    // The pool then closes sessions that are already dead, and waits for no peer.
    Scope.provide(yield* sockets.scope),
    Effect.mapError((error) => PgFailure.connectFailure(tenant, error, server))
  )
  PgAddress.remember(client, server)
  return client
})

/** A session of its own that listens; `LISTEN` is confirmed when it is returned. */
export const openSession = Effect.fnUntraced(function* (
  tenant: TenantId,
  target: PgTarget
): Effect.fn.Return<ListenSession, ConnectorError, Scope.Scope> {
  const { config, connectTimeout, server, sockets } = yield* settings(tenant, target, target.listenUrl ?? target.url)
  // UNLISTEN and the rest of the driver's farewell meet a session that is already dead.
  const scope = yield* sockets.scope
  // The driver answers interruption by cancelling the statement and draining its answer, which takes 5 seconds if the
  // peer is gone. So the statement runs in a fiber of its own, and the fiber that waits for it destroys the socket
  // first.
  const orAbandon = <A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.flatMap(Effect.forkChild(statement, { startImmediately: true }), (fiber) =>
      Effect.onInterrupt(Fiber.join(fiber), () => sockets.destroy)
    )
  const connection = yield* PgConnection.make({
    ...config,
    applicationName: listenApplicationName,
    // What the pooler cannot keep, it cannot keep for this session either.
    prepare: target.listenUrl !== undefined || (target.prepare ?? true)
  }).pipe(
    Scope.provide(scope),
    Effect.mapError((error) => PgFailure.connectFailure(tenant, error, server))
  )
  const session = yield* Scope.provide(connection.pin, scope)
  const presence = yield* PgSettings.forListening(session).pipe(
    orAbandon,
    Effect.mapError((error) => PgFailure.connectFailure(tenant, error, server)),
    Effect.timeoutOrElse({
      duration: connectTimeout,
      orElse: () => Effect.fail(ConnectorError.of(tenant, new ConnectFailed({ code: "ETIMEDOUT" }), server.address))
    })
  )
  const notifications = yield* Scope.provide(session.listen(channel), scope).pipe(
    orAbandon,
    Effect.mapError((error) => PgFailure.listenFailure(tenant, error, server.address)),
    Effect.timeoutOrElse({
      duration: connectTimeout,
      orElse: () => Effect.fail(ConnectorError.of(tenant, new ListenFailed({ code: "ETIMEDOUT" }), server.address))
    })
  )
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
      Effect.mapError((error) => PgFailure.sessionLost(tenant, error, server.address))
    ),
    abandon: sockets.destroy,
    presence
  }
})

/** The driver's options for a target, and the sockets that it connects through. */
const settings = Effect.fnUntraced(function* (tenant: TenantId, target: PgTarget, url: Redacted.Redacted) {
  const parsed = PgAddress.parse(Redacted.value(url))
  if (Result.isFailure(parsed)) return yield* invalid(tenant, parsed.failure)
  const location = parsed.success
  // The driver needs it while it handles what the socket received: what is thrown there ends the process.
  if (target.password !== undefined && !["string", "undefined"].includes(typeof Redacted.value(target.password))) {
    return yield* invalid(tenant, "its password is no text")
  }
  const connectTimeout = Option.getOrUndefined(Duration.fromInput(target.connectTimeout ?? timeoutOf(location)))
  if (connectTimeout === undefined) return yield* invalid(tenant, "its connectTimeout is not a duration")
  const wanted = target.ssl ?? (yield* PgTls.options(tenant, location))
  const ssl = wanted === undefined ? undefined : yield* PgTls.checked(tenant, wanted)
  const sockets = PgSockets.make(location.address, ssl === undefined ? location.host : undefined)
  const config: PgConnection.Config = {
    ssl: ssl ?? false,
    host: location.host,
    port: location.port,
    database: location.database,
    username: location.user,
    password: target.password ?? (location.password === undefined ? undefined : Redacted.make(location.password)),
    startupOptions: location.options,
    connectTimeout,
    stream: sockets.open,
    types: PgText.types
  }
  const server = { address: PgAddress.show(location), encrypts: ssl !== false }
  return { config, connectTimeout, sockets, server }
})

const timeoutOf = ({ connectTimeout }: PgAddress.Location): Duration.Input =>
  connectTimeout === undefined
    ? Timeouts.connectTimeout
    : connectTimeout === 0
      ? Timeouts.longestConnect
      : Duration.seconds(connectTimeout)

const invalid = (tenant: TenantId, problem: string) =>
  Effect.fail(ConnectorError.of(tenant, new InvalidAddress({ problem })))
