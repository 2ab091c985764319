/**
 * A pooled `SqlClient` whose sessions are told something before their first statement: the driver's own client has no
 * place for that.
 *
 * It is made as `PgClient.make` makes it, from the driver's pool and compiler, but that what begins and ends a
 * transaction is not prepared: behind a pooler that keeps no prepared statements a `ROLLBACK` failed as unknown, and its
 * session went back into the pool with the transaction open, where every write failed from then on (25P02).
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as PgPool from "@effect/sql-pg/PgPool"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"

/** `prepare` runs on each session before its first statement. */
export const make = Effect.fnUntraced(function* (
  config: PgPool.Config,
  prepare: (session: PgConnection.PgConnection) => Effect.Effect<void, SqlError>
): Effect.fn.Return<SqlClient.SqlClient, SqlError, Scope.Scope> {
  const pool = yield* PgPool.make(config)
  const prepared = new WeakSet<PgConnection.PgConnection>()
  const ready = (session: PgConnection.PgConnection): Effect.Effect<PgConnection.PgConnection, SqlError> =>
    prepared.has(session)
      ? Effect.succeed(session)
      : Effect.map(prepare(session), () => {
          prepared.add(session)
          return session
        })
  const session = orClosed(Effect.flatMap(pool.get, ready))
  return yield* SqlClient.make({
    driver: "pg",
    acquirer: Effect.map(session, connectionOf),
    borrower: (use) =>
      orClosed(pool.use((session) => Effect.flatMap(ready(session), (session) => use(connectionOf(session))))),
    transactionAcquirer: Effect.map(
      Effect.flatMap(session, (session) => session.pin),
      connectionOf
    ),
    compiler: PgClient.makeCompiler(),
    commit,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: [
      ["db.system.name", "postgresql"],
      ["db.namespace", config.database ?? config.username ?? "postgres"],
      ["server.address", config.host ?? "localhost"],
      ["server.port", config.port ?? 5432]
    ]
  }).pipe(Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make))
})

/**
 * The driver's pool answers with an interruption once it is being closed. A fiber that was not interrupted itself, as
 * one that asks another tenant's client where it is, has met a connection that is gone.
 */
const orClosed = <A, E, R>(statement: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchCause(
    statement,
    (cause): Effect.Effect<never, E | SqlError> =>
      Cause.hasInterruptsOnly(cause) ? Effect.fail(poolClosed) : Effect.failCause(cause)
  )

const poolClosed = new SqlError({
  reason: new ConnectionError({
    cause: new Error("The pool is closed"),
    message: "The pool is closed",
    operation: "acquire"
  })
})

const connectionOf = (session: PgConnection.PgConnection): Connection => {
  const rows =
    (prepare: boolean): Connection["execute"] =>
    (sql, params, transform) =>
      Effect.map(session.query(sql, params, prepare), ({ rows }) => (transform === undefined ? rows : transform(rows)))
  return {
    execute: rows(true),
    executeUnprepared: rows(false),
    executeRaw: (sql, params) => session.query(sql, params, false),
    executeValues: (sql, params) => session.queryValues(sql, params),
    executeValuesUnprepared: (sql, params) => session.queryValues(sql, params, false),
    executeStream: (sql, params) => session.stream(sql, params)
  }
}

/** The server answers `ROLLBACK` to the `COMMIT` of a transaction that had failed. */
const commit = (connection: Connection): Effect.Effect<void, SqlError> =>
  Effect.flatMap(connection.executeRaw("COMMIT", []), (result) =>
    typeof result === "object" && result !== null && "command" in result && result.command === "ROLLBACK"
      ? Effect.fail(
          new SqlError({
            reason: new UnknownError({
              cause: new Error("COMMIT rolled back an aborted transaction"),
              message: "COMMIT rolled back an aborted transaction",
              operation: "commit"
            })
          })
        )
      : Effect.void
  )
