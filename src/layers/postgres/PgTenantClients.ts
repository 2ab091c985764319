/**
 * One pooled client per tenant, opened when its first statement needs it and closed when it is idle.
 *
 * Opening one claims the database that it leads to (PgOneTenantPerDatabase). The next statement opens another one, and
 * with it finds whatever became of the server, after a statement that was not answered if none was answered since it
 * began: one that waits for a lock is no reason to leave the connections of all others, and the driver replaces the one
 * that it was on. So it does after a statement that was refused for what its session began with.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { ConnectorError } from "../../schema/ConnectorError.ts"
import { EntryStoreError, type EntryStoreErrorReason } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { idleTimeToLive, youngClient } from "../runtime/Timeouts.ts"
import * as PgAddress from "./connection/PgAddress.ts"
import * as PgFailure from "./connection/PgFailure.ts"
import type { PgDeadlines } from "./PgDeadlines.ts"

/** `open` opens a client for a tenant, on a database that is the tenant's alone. */
export const make = Effect.fnUntraced(function* (
  open: (tenant: TenantId) => Effect.Effect<SqlClient, ConnectorError, Scope.Scope>,
  { bounded }: PgDeadlines
) {
  const limiter = yield* ConnectLimiter
  const ownScope = yield* Effect.scope

  // A client that was released while a statement was under way is no longer in the map. Its scope is a child of the
  // layer's all the same, so that closing the layer closes it too, instead of waiting for a statement that may never be
  // answered.
  const openClient = (tenant: TenantId) =>
    Effect.flatMap(
      Effect.acquireRelease(Scope.fork(ownScope), (scope, exit) => Scope.close(scope, exit)),
      (scope) =>
        // The pool connects when the first statement needs it.
        limiter.client(tenant, open(tenant)).pipe(Scope.provide(scope))
    ).pipe(
      Effect.tap((client) =>
        Effect.acquireRelease(
          Effect.map(MonotonicClock.millis, (now) => {
            useOf(client).since = now
            return current.set(tenant, client)
          }),
          () => Effect.sync(() => current.get(tenant) === client && current.delete(tenant))
        )
      )
    )

  /** The client that each tenant's next statement runs on. */
  const current = new Map<TenantId, SqlClient>()
  /** How often the server has answered on a client, and since when it is there. */
  const uses = new WeakMap<SqlClient, { answers: number; since: number }>()
  const useOf = (client: SqlClient) => {
    const use = uses.get(client) ?? { answers: 0, since: 0 }
    uses.set(client, use)
    return use
  }

  const clients = yield* RcMap.make({ lookup: openClient, idleTimeToLive })

  const opened = (tenant: TenantId) => resourceOf(clients, tenant)

  const run = <A>(
    tenant: TenantId,
    statements: (client: SqlClient) => Effect.Effect<A, SqlError | EntryStoreError>,
    within?: number
  ) =>
    Effect.suspend(() => {
      let used: { readonly client: SqlClient; readonly answers: number } | undefined
      const onIt = (client: SqlClient) => {
        const use = useOf(client)
        used = { client, answers: use.answers }
        return PgFailure.translated(
          tenant,
          PgAddress.of(client)
        )(ofItsOwn(client, statements(client))).pipe(
          Effect.onExit((exit) => Effect.sync(() => isAnswer(exit) && use.answers++))
        )
      }
      const statement = opened(tenant).pipe(Effect.flatMap(onIt), Effect.scoped, PgFailure.translated(tenant))
      return limiter.statement(tenant, bounded(tenant, statement, within)).pipe(
        // A statement for which no client was opened was never sent.
        Effect.mapError((error) =>
          error.reason._tag === "Unanswered" && used === undefined
            ? EntryStoreError.from(PgFailure.notConnected(tenant, "ETIMEDOUT"))
            : error
        ),
        Effect.tapError(({ reason }) =>
          Effect.flatMap(MonotonicClock.millis, (now) => {
            if (used === undefined || current.get(tenant) !== used.client) return Effect.void
            const { answers, since } = useOf(used.client)
            return isOfSession(reason) ||
              (mayBeOfSession(reason) && now - since >= youngClient) ||
              (isSilence(reason) && answers === used.answers)
              ? RcMap.invalidate(clients, tenant)
              : Effect.void
          })
        )
      )
    })

  return {
    /** Runs statements on the tenant's client. */
    run,
    /** The tenant's client, which is opened if there is none. */
    opened,
    /** The next statement opens a client anew; this one is closed once the statements under way are done. */
    leave: (tenant: TenantId): Effect.Effect<void> => RcMap.invalidate(clients, tenant)
  }
})

/**
 * A connector may hand out the application's own client, and the caller be in a transaction on it. What is read there
 * is perhaps never committed, and a write is perhaps rolled back after it was put in force.
 */
const ofItsOwn = <A, E>({ transactionService }: SqlClient, statements: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.updateContext(statements, (context: Context.Context<never>) => Context.omit(transactionService)(context))

/** What is kept for a tenant. A look-up that failed would be kept as long as what it looked for, and so is dropped. */
export const resourceOf = <A>(resources: RcMap.RcMap<TenantId, A, ConnectorError>, tenant: TenantId) =>
  Effect.onError(RcMap.get(resources, tenant), () => RcMap.invalidate(resources, tenant))

/**
 * Whether another session may be answered otherwise. After a fail-over (25006) the address may lead to another server,
 * and a session keeps the `default_transaction_read_only` that it began with. A function of a trigger that ran before
 * the type of a column changed fails for as long as the session lasts (42804).
 */
const isOfSession = (reason: EntryStoreErrorReason): boolean =>
  reason._tag === "Refused" && (reason.code === "25006" || reason.code === "42804")

/**
 * What a setting of the role or of the database does that was taken back meanwhile: a session keeps its `search_path`
 * (42P01, 3F000, 42703, 42883), its `role` (42501), its `statement_timeout` (57014), and `session_replication_role`,
 * with which our triggers draw no revision (23502). Most often another session is answered likewise, so that no client
 * is left that has only just been opened.
 */
const mayBeOfSession = (reason: EntryStoreErrorReason): boolean =>
  reason._tag === "Refused" &&
  ["42P01", "3F000", "42703", "42883", "42501", "57014", "23502"].includes(reason.code ?? "")

/** Neither a statement nor a connection was answered. */
const isSilence = (reason: EntryStoreErrorReason): boolean =>
  reason._tag === "Unanswered" || (reason._tag === "ConnectFailed" && reason.code === "ETIMEDOUT")

/** What the server refused, it has answered. */
const isAnswer = (exit: Exit.Exit<unknown, EntryStoreError>): boolean =>
  Exit.isSuccess(exit) || Option.getOrUndefined(Exit.findErrorOption(exit))?.reason._tag === "Refused"
