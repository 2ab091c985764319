/**
 * One pooled client per tenant, opened when first needed and closed when idle; and sessions for feeds, which may be
 * opened ahead.
 *
 * Each client and session of a tenant claims the database that it leads to (PgOneTenantPerDatabase). A claim on a
 * database that another tenant holds fails before anything else is read or written there.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { SqlClient } from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import type { ConnectorError } from "../../schema/ConnectorError.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { Connector, type ListenSession, type Query } from "../../services/Connector.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import { transactionTimeout } from "../runtime/Timeouts.ts"
import * as PgAddress from "./connection/PgAddress.ts"
import * as PgFailure from "./connection/PgFailure.ts"
import * as PgSpans from "./connection/PgSpans.ts"
import * as PgDeadlines from "./PgDeadlines.ts"
import * as PgOneTenantPerDatabase from "./PgOneTenantPerDatabase.ts"
import * as PgTenantClients from "./PgTenantClients.ts"
import * as PgTenantSessions from "./PgTenantSessions.ts"

export class PgDatabases extends Context.Service<
  PgDatabases,
  {
    /**
     * Runs a statement on the tenant's pooled client. Returns within 5 seconds, or `within` milliseconds, whatever the
     * peer does. A tenant that may not exist waits for a turn first, for 5 seconds at most.
     */
    readonly run: <A>(
      tenant: TenantId,
      statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>,
      within?: number | undefined
    ) => Effect.Effect<A, EntryStoreError>
    /**
     * Runs a statement on the session that the tenant's feed takes up next, which is opened if there is none: bringing
     * a tenant up then takes one connection. Returns within 5 seconds from when it is open. On the pooled client, as
     * `run` does, if sessions lead elsewhere, or the server lets no session listen.
     */
    readonly runAhead: <A>(
      tenant: TenantId,
      statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>
    ) => Effect.Effect<A, EntryStoreError>
    /** Closes a session that was opened ahead and that no feed has taken up. */
    readonly abandonAhead: (tenant: TenantId) => Effect.Effect<void>
    /** Runs short statements on the tenant's pooled client in one transaction. Bounded as `run` is. */
    readonly runInTransaction: <A>(
      tenant: TenantId,
      statements: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>
    ) => Effect.Effect<A, EntryStoreError>
    /** Runs statements in one transaction, on a connection of their own that is closed afterwards; within a minute. */
    readonly transaction: <A>(
      tenant: TenantId,
      statements: (query: Query) => Effect.Effect<A, SqlError>
    ) => Effect.Effect<A, EntryStoreError>
    /** A listening session, on a database that is the tenant's alone. */
    readonly session: (tenant: TenantId) => Effect.Effect<ListenSession, ConnectorError, Scope.Scope>
    /**
     * Whether statements now reach another database than the tenant's session: the next session is then refused until
     * they do not. Only a client that is open is asked.
     */
    readonly areApart: (tenant: TenantId) => Effect.Effect<boolean>
    /**
     * Forgets the pooled client and a session ahead, which are closed once the statements under way are done, and the
     * claim.
     */
    readonly release: (tenant: TenantId) => Effect.Effect<void>
  }
>()("effect-systemplane/layers/PgDatabases") {}

const make = Effect.gen(function* () {
  const connector = yield* Connector
  const limiter = yield* ConnectLimiter
  const ownScope = yield* Effect.scope
  // Made before the clients, hence closed after them: a statement on a destroyed socket ends at once.
  const deadlines = yield* PgDeadlines.make
  const { bounded, inBackground, opened } = deadlines
  const claims = PgOneTenantPerDatabase.make()

  /** Opens it, and claims the database it leads to. What a connector yields may be none that can be asked. */
  const claimed = <A extends object, R>(
    tenant: TenantId,
    kind: PgOneTenantPerDatabase.Kind,
    open: () => Effect.Effect<A, ConnectorError, R>,
    queryOf: (resource: A) => Query
  ) =>
    opened(tenant, open).pipe(
      Effect.tap((resource) => claims.claim(tenant, queryOf(resource), kind, PgAddress.of(resource))),
      Effect.catchDefect(() => Effect.fail(PgFailure.notConnected(tenant)))
    )

  const clients = yield* PgTenantClients.make(
    (tenant) => claimed(tenant, "client", () => connector.client(tenant), queryOf),
    deadlines
  )
  const sessions = yield* PgTenantSessions.make(
    (tenant) =>
      claimed(
        tenant,
        "session",
        () => connector.session(tenant),
        (session) => session.query
      ),
    { ...clients, haveClaimed: claims.reachedByClient },
    deadlines
  )

  /**
   * Opens a client of its own for a transaction. As soon as no caller waits for it, the client's scope begins to close,
   * and its sockets are destroyed: the server rolls back, and no caller waits for a peer that is gone. A child of the
   * layer's scope, so that closing the layer does the same.
   */
  const transaction = <A>(
    tenant: TenantId,
    transact: (query: Query) => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, EntryStoreError> =>
    Effect.acquireUseRelease(
      Scope.fork(ownScope),
      (scope) => {
        const opening = opened(tenant, () => connector.client(tenant))
        return bounded(
          tenant,
          limiter
            .client(
              tenant,
              Effect.flatMap(opening, (client) => inTransaction(client, transact))
            )
            .pipe(Scope.provide(scope), PgFailure.translated(tenant)),
          transactionTimeout
        )
      },
      (scope, exit) => inBackground(Scope.close(scope, exit))
    )

  const run = <A>(
    tenant: TenantId,
    statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>,
    within?: number
  ) => clients.run(tenant, (client) => statement(queryOf(client)), within)

  return PgDatabases.of({
    run,
    runAhead: (tenant, statement) => sessions.runAhead(tenant, statement, run(tenant, statement)),
    abandonAhead: sessions.abandonAhead,
    runInTransaction: (tenant, statements) => clients.run(tenant, (client) => inTransaction(client, statements)),
    transaction,
    session: sessions.session,
    areApart: (tenant) => Effect.orElseSucceed(bounded(tenant, claims.areApart(tenant)), () => false),
    release: (tenant) =>
      Effect.suspend(() => {
        claims.release(tenant)
        limiter.forget(tenant)
        return Effect.andThen(clients.leave(tenant), sessions.abandonAhead(tenant))
      })
  })
})

export const layer = Layer.effect(PgDatabases, make)

const queryOf =
  (client: SqlClient): Query =>
  (sql, params) =>
    PgSpans.discreet(client.unsafe(sql, params))

// Each statement sees what was committed before it, and so what came before a lock that an earlier one waited for. The
// role or the database may have a higher level as its default.
const readCommitted = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"

// The driver dies if it cannot roll back. A session that is gone has rolled back by being gone: that is a failure.
const inTransaction = <A, E>(
  client: SqlClient,
  statements: (query: Query) => Effect.Effect<A, E>
): Effect.Effect<A, E | SqlError> => {
  const query = queryOf(client)
  return Effect.catchDefect(
    PgSpans.discreet(client.withTransaction(Effect.andThen(query(readCommitted), statements(query)))),
    (defect) => (isSqlError(defect) ? Effect.fail(defect) : Effect.die(defect))
  )
}
