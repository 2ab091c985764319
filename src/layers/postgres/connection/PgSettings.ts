/**
 * What a session of this library is told before its first statement, by a statement: a pooler refuses settings that it
 * does not know when a session starts.
 *
 * A backend that waits for a lock looks now and then whether its client is still there, and ends if not. A session is
 * not ended for being idle; one that listens takes a lock that other sessions can see, and ends its own waits for a lock
 * before the process stops waiting for it. What the server does not know, or does not allow, is left as it is: older
 * servers know fewer settings, and some systems cannot tell that a client is gone.
 */
import { randomBytes } from "node:crypto"
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { clientCheckInterval, feedLockTimeout, writeLockTimeout } from "../../runtime/Timeouts.ts"
import * as PgFailure from "./PgFailure.ts"
import * as PgText from "./PgText.ts"

interface Setting {
  readonly name: string
  readonly value: string
  /** Sets it only if it, or the setting of the given name, has this value. */
  readonly from?: string
  readonly of?: string
}

/**
 * Names are compared as the server quotes them by default. The statements of this library are written for the standard:
 * a list as text may hold a NULL, and a backslash is a character like any other. A server in `SQL_ASCII` would refuse a
 * statement for one text that is not UTF-8: it sends the bytes as they are (PgText).
 */
const everywhere: ReadonlyArray<Setting> = [
  { name: "client_connection_check_interval", value: clientCheckInterval, from: "0" },
  { name: "quote_all_identifiers", value: "off", from: "on" },
  { name: "array_nulls", value: "on", from: "off" },
  { name: "client_encoding", value: "SQL_ASCII", of: "server_encoding", from: "SQL_ASCII" },
  { name: "standard_conforming_strings", value: "on", from: "off" }
]
/** Without what some systems do not allow. */
const allowed = everywhere.slice(1)

/**
 * A read under row level security fails, instead of leaving rows out without a word: defaults would be taken for what
 * is stored.
 */
const allRows: Setting = { name: "row_security", value: "off" }

/**
 * The planner guesses what looking at a value costs for the longest of them, and has the statement compiled for it: a
 * tenth of a second, for a read that takes some milliseconds.
 */
const notCompiled: Setting = { name: "jit", value: "off", from: "on" }

/**
 * What triggers look up of other transactions, such as whether a change id took effect, has to be what is committed by
 * then. The role or the database may have a higher level as its default.
 */
const readCommitted: Setting = { name: "default_transaction_isolation", value: "read committed" }

/**
 * They end a session while a statement is under way, or on its way: the outcome of a write would then be unknown. How
 * long a statement may take is bounded by the process, and by `statement_timeout`, which the server answers; an idle
 * client is closed.
 */
const notEnded: ReadonlyArray<Setting> = ["idle_session_timeout", "transaction_timeout"].map((name) => ({
  name,
  value: "0"
}))

/** Unknown names are left out: `current_setting` knows none of them. */
const apply = (settings: ReadonlyArray<Setting>, also: string): string => {
  const sets = settings.map(({ from, name, of = name, value }) => {
    const applies = from === undefined ? "IS NOT NULL" : `= '${from}'`
    return `CASE WHEN pg_catalog.current_setting('${of}', true) ${applies} THEN pg_catalog.set_config('${name}', '${value}', false) END`
  })
  return `SELECT ${sets.join(", ")}, ${also} AS also, pg_catalog.current_setting('server_encoding') AS encoding`
}

/** The first of the statements that the server takes. Fails only if the session is lost. */
const firstTaken = (
  session: PgConnection.PgConnection,
  statements: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<PgConnection.Row>, SqlError> => {
  const [statement, ...others] = statements
  if (statement === undefined) return Effect.succeed([])
  return Effect.map(session.query(statement, [], false), ({ rows }) => {
    if (rows[0]?.encoding === "SQL_ASCII") PgText.takeAnyBytes()
    return rows
  }).pipe(
    Effect.catch((error) =>
      PgFailure.statementFailure(error)._tag === "Refused" ? firstTaken(session, others) : Effect.fail(error)
    )
  )
}

/**
 * For a pooled client's sessions. Behind a pooler the next statement may run on another session, and the settings stay
 * with the one that they were made on: then only what is harmless to others is set.
 */
export const forStatements = (session: PgConnection.PgConnection, direct: boolean): Effect.Effect<void, SqlError> => {
  const ours: ReadonlyArray<Setting> = direct
    ? [allRows, notCompiled, readCommitted, ...notEnded, { name: "lock_timeout", value: writeLockTimeout, from: "0" }]
    : []
  return Effect.asVoid(
    firstTaken(session, [apply([...everywhere, ...ours], "NULL"), apply([...allowed, ...ours], "NULL")])
  )
}

/** For a session that listens. Returns the key of its lock; `undefined` if the server did not grant it. */
export const forListening = (session: PgConnection.PgConnection): Effect.Effect<string | undefined, SqlError> => {
  const key = randomBytes(8).readBigInt64BE().toString()
  const settings: ReadonlyArray<Setting> = [
    allRows,
    notCompiled,
    readCommitted,
    ...notEnded,
    { name: "lock_timeout", value: feedLockTimeout, from: "0" }
  ]
  const presence = `(SELECT pg_catalog.pg_try_advisory_lock_shared('${key}'::bigint))`
  return Effect.map(
    firstTaken(session, [
      apply([...everywhere, ...settings], presence),
      apply([...allowed, ...settings], presence),
      apply([...allowed, ...settings], "NULL")
    ]),
    ([row]) => (row?.also === true ? key : undefined)
  )
}
