/**
 * One pooled client per tenant, opened when first needed and closed when idle; and sessions for feeds, which may be
 * opened ahead.
 *
 * Each client and session of a tenant claims the database that it leads to (PgOneTenantPerDatabase). A claim on a
 * database that another tenant holds fails before anything else is read or written there.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import type { SqlClient } from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import type { ConnectorError } from "../../schema/ConnectorError.ts"
import { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { Connector, type ListenSession, type Query } from "../../services/Connector.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import {
  aheadTimeToLive,
  idleTimeToLive,
  openTimeout,
  statementTimeout,
  timedOut,
  transactionTimeout
} from "../runtime/Timeouts.ts"
import * as PgAddress from "./connection/PgAddress.ts"
import * as PgFailure from "./connection/PgFailure.ts"
import * as PgSpans from "./connection/PgSpans.ts"
import * as PgOneTenantPerDatabase from "./PgOneTenantPerDatabase.ts"

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
  const budget = yield* ConnectLimiter
  const ownScope = yield* Effect.scope
  // Abandoned statements end here. Made before the clients, hence closed after them: a statement on a
  // destroyed socket ends at once.
  const statements = yield* FiberSet.make()
  const claims = PgOneTenantPerDatabase.make()

  const opened = <A, R>(tenant: TenantId, opening: Effect.Effect<A, ConnectorError, R>) =>
    Effect.timeoutOrElse(opening, {
      duration: openTimeout,
      orElse: () => Effect.fail(PgFailure.notConnected(tenant, "ETIMEDOUT"))
    })

  /** Opens it, and claims the database it leads to. A connector that dies has failed to connect. */
  const claimed = <A, R>(
    tenant: TenantId,
    kind: PgOneTenantPerDatabase.Kind,
    opening: Effect.Effect<A, ConnectorError, R>,
    queryOf: (resource: A) => Query
  ) =>
    opened(tenant, opening).pipe(
      Effect.tap((resource) => claims.claim(tenant, queryOf(resource), kind)),
      Effect.catchDefect(() => Effect.fail(PgFailure.notConnected(tenant)))
    )

  // A client that was released while a statement was under way is no longer in the map. Its scope is a child of the
  // layer's all the same, so that closing the layer closes it too, instead of waiting for a statement that may never be
  // answered.
  const openClient = (tenant: TenantId) =>
    Effect.flatMap(
      Effect.acquireRelease(Scope.fork(ownScope), (scope, exit) => Scope.close(scope, exit)),
      (scope) =>
        // The pool connects when the first statement needs it.
        budget.client(tenant, claimed(tenant, "client", connector.client(tenant), queryOf)).pipe(Scope.provide(scope))
    ).pipe(
      Effect.tap((client) =>
        Effect.acquireRelease(
          Effect.sync(() => current.set(tenant, client)),
          () => Effect.sync(() => current.get(tenant) === client && current.delete(tenant))
        )
      )
    )

  /** The client that each tenant's next statement runs on. */
  const current = new Map<TenantId, SqlClient>()
  /** How often the server has answered on a client. */
  const uses = new WeakMap<SqlClient, { answers: number }>()
  const useOf = (client: SqlClient) => {
    const use = uses.get(client) ?? { answers: 0 }
    uses.set(client, use)
    return use
  }

  const clients = yield* RcMap.make({ lookup: openClient, idleTimeToLive })

  const openSession = (tenant: TenantId) =>
    budget
      .session(
        tenant,
        claimed(tenant, "session", connector.session(tenant), (session) => session.query)
      )
      .pipe(
        Effect.tap(reachesTheSame(tenant)),
        // A client may be what is left of an earlier address, or have reached another tenant's database anew as the
        // session did: the next statement opens a new one, which claims.
        Effect.tapError(({ reason }) =>
          reason._tag === "DatabasesDiffer" || reason._tag === "DatabaseShared"
            ? RcMap.invalidate(clients, tenant)
            : Effect.void
        )
      )

  /**
   * If statements have an address of their own, a client is opened as well: its claim fails if it reaches another
   * database. Once is enough, since each client that is opened later claims as well: a pooler that is down must not
   * keep the feed from coming back.
   */
  const reachesTheSame = (tenant: TenantId) =>
    connector.interchangeable === undefined || claims.reachedByClient(tenant)
      ? Effect.void
      : Effect.flatMap(mayOpenAhead(tenant), (interchangeable) =>
          interchangeable ? Effect.void : Effect.scoped(Effect.asVoid(resourceOf(clients, tenant)))
        )

  const sessions = yield* RcMap.make({ lookup: openSession, idleTimeToLive: aheadTimeToLive })

  const mayOpenAhead = (tenant: TenantId) =>
    connector.interchangeable === undefined
      ? Effect.succeed(false)
      : opened(tenant, connector.interchangeable(tenant)).pipe(
          Effect.catchDefect(() => Effect.fail(PgFailure.notConnected(tenant)))
        )

  /** Fails at once if the tenant was found missing, before the connector is asked for it again. */
  const unlessMissing = (tenant: TenantId) =>
    Effect.flatMap(budget.missing(tenant), (error) => (error === undefined ? Effect.void : Effect.fail(error)))

  // A failed look-up would be remembered as long as what it looked for.
  const resourceOf = <A>(resources: RcMap.RcMap<TenantId, A, ConnectorError>, tenant: TenantId) =>
    Effect.onError(RcMap.get(resources, tenant), () => RcMap.invalidate(resources, tenant))

  // The driver answers interruption by draining the statement's answer, 5 seconds if the peer is gone. So a statement
  // runs in a fiber of its own, and no caller waits for the end of one that was abandoned.
  const bounded = <A>(
    tenant: TenantId,
    statement: Effect.Effect<A, EntryStoreError>,
    within: Duration.Input = statementTimeout
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(FiberSet.run(statements, statement), (fiber) => {
        const giveUp = Effect.sync(() => fiber.interruptUnsafe())
        return restore(
          Effect.timeoutOrElse(Fiber.join(fiber), {
            duration: within,
            orElse: () => Effect.fail(timedOut(tenant, within))
          })
        ).pipe(Effect.onError(() => giveUp))
      })
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
        const opening = opened(tenant, connector.client(tenant))
        return bounded(
          tenant,
          budget
            .client(
              tenant,
              Effect.flatMap(opening, (client) => inTransaction(client, transact))
            )
            .pipe(Scope.provide(scope), translated(tenant)),
          transactionTimeout
        )
      },
      (scope, exit) => Effect.asVoid(FiberSet.run(statements, Scope.close(scope, exit), { startImmediately: true }))
    )

  const translated =
    (tenant: TenantId, server?: PgAddress.Server) =>
    <A, R>(
      effect: Effect.Effect<A, SqlError | ConnectorError | EntryStoreError, R>
    ): Effect.Effect<A, EntryStoreError, R> =>
      Effect.mapError(effect, (error) => {
        switch (error._tag) {
          case "EntryStoreError":
            return error
          case "ConnectorError":
            return EntryStoreError.from(error)
          case "SqlError":
            return EntryStoreError.of(tenant, PgFailure.statementFailure(error, server), server?.address)
        }
      })

  const onClient = <A>(
    tenant: TenantId,
    statements: (client: SqlClient) => Effect.Effect<A, SqlError | EntryStoreError>,
    within?: number
  ) =>
    Effect.suspend(() => {
      let used: { readonly client: SqlClient; readonly answers: number } | undefined
      const onIt = (client: SqlClient) => {
        const use = useOf(client)
        used = { client, answers: use.answers }
        return translated(
          tenant,
          PgAddress.of(client)
        )(statements(client)).pipe(Effect.onExit((exit) => Effect.sync(() => isAnswer(exit) && use.answers++)))
      }
      const statement = resourceOf(clients, tenant).pipe(Effect.flatMap(onIt), Effect.scoped, translated(tenant))
      return budget.statement(tenant, bounded(tenant, statement, within)).pipe(
        // A statement for which no client was opened was never sent.
        Effect.mapError((error) =>
          error.reason._tag === "Unanswered" && used === undefined
            ? EntryStoreError.from(PgFailure.notConnected(tenant, "ETIMEDOUT"))
            : error
        ),
        Effect.tapError(({ reason }) =>
          reason._tag === "Unanswered" && used !== undefined && isOfNoUse(tenant, used.client, used.answers)
            ? RcMap.invalidate(clients, tenant)
            : Effect.void
        )
      )
    })

  /**
   * Whether the next statement should find a new client, and with it whatever became of the server: this one has
   * answered nothing since. One statement that waits for a lock is no reason to leave the connections of all others;
   * the driver replaces the one that it was on.
   */
  const isOfNoUse = (tenant: TenantId, client: SqlClient, answers: number): boolean =>
    current.get(tenant) === client && useOf(client).answers === answers

  const onSession = <A>(tenant: TenantId, statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>) =>
    resourceOf(sessions, tenant).pipe(
      // A tenant that waits for a turn to connect keeps its place: the time for the statement begins after that.
      Effect.flatMap((session) => bounded(tenant, translated(tenant)(statement(session.query)))),
      Effect.scoped,
      // No pool stands behind a session: one that did not answer, or was abandoned, is of no use to the feed.
      Effect.onError(() => RcMap.invalidate(sessions, tenant))
    )

  const runAhead = <A>(
    tenant: TenantId,
    statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>
  ): Effect.Effect<A, EntryStoreError> => {
    const onItsClient = onClient(tenant, (client) => statement(queryOf(client)))
    return unlessMissing(tenant).pipe(
      Effect.andThen(RcMap.has(sessions, tenant)),
      Effect.flatMap((there) => (there ? Effect.succeed(true) : mayOpenAhead(tenant))),
      Effect.flatMap((ahead) => (ahead ? onSession(tenant, statement) : onItsClient)),
      // A server that lets no session listen can be prepared, and read, all the same.
      Effect.catchIf(isListenFailure, () => onItsClient),
      translated(tenant)
    )
  }

  // What one feed has taken up, no other finds.
  const takeUp = (tenant: TenantId) =>
    Effect.tap(resourceOf(sessions, tenant), () => RcMap.invalidate(sessions, tenant))

  return PgDatabases.of({
    run: (tenant, statement, within) => onClient(tenant, (client) => statement(queryOf(client)), within),
    runAhead,
    abandonAhead: (tenant) => RcMap.invalidate(sessions, tenant),
    runInTransaction: (tenant, statements) => onClient(tenant, (client) => inTransaction(client, statements)),
    transaction,
    session: (tenant) =>
      Effect.flatMap(RcMap.has(sessions, tenant), (ahead) => (ahead ? takeUp(tenant) : openSession(tenant))),
    areApart: (tenant) => Effect.orElseSucceed(bounded(tenant, claims.areApart(tenant)), () => false),
    release: (tenant) =>
      Effect.suspend(() => {
        claims.release(tenant)
        budget.forget(tenant)
        return Effect.andThen(RcMap.invalidate(clients, tenant), RcMap.invalidate(sessions, tenant))
      })
  })
})

// A layer of its own for each plane: one value would be built once, and two planes in one program would share it.
export const layer = () => Layer.effect(PgDatabases, make)

/** What the server refused, it has answered. */
const isAnswer = (exit: Exit.Exit<unknown, EntryStoreError>): boolean =>
  Exit.isSuccess(exit) || Option.getOrUndefined(Exit.findErrorOption(exit))?.reason._tag === "Refused"

const isListenFailure = (error: ConnectorError | EntryStoreError): boolean =>
  error._tag === "ConnectorError" && error.reason._tag === "ListenFailed"

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
