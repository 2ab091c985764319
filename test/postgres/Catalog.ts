/** What a test wants to know of a database's schema, and how it changes it. */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Queue } from "effect"
import { isSqlError } from "effect/sql/SqlError"
import { Ddl } from "effect-systemplane"
import type { Query } from "../../src/services/Connector.ts"
import type { Stranger, TestDatabase } from "../support/TestDatabase.ts"

/** Statements as a session of the plane runs them: one that the server refuses is a failure. */
export const query =
  ({ run }: Stranger): Query =>
  (sql, params) =>
    Effect.catchDefect(run(sql, params), (error) => (isSqlError(error) ? Effect.fail(error) : Effect.die(error)))

/** Runs a script of many statements: the server takes it apart, as it does for `psql`. */
export const runScript = (database: Stranger, script: string) =>
  database.run(`DO $do$ BEGIN EXECUTE $script$${script}$script$; END $do$`)

/** Prepares a database as a migration pipeline would. */
export const prepare = (database: Stranger) => runScript(database, Ddl.sql)

/** Logs every DDL command from now on; the effect it yields takes those logged so far. */
export const watchDdl = (database: Stranger) =>
  Effect.gen(function* () {
    yield* database.run("CREATE TABLE public.ddl_log (command text)")
    yield* database.run(
      `CREATE FUNCTION public.log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
       BEGIN INSERT INTO public.ddl_log VALUES (tg_tag); END $$`
    )
    yield* database.run("CREATE EVENT TRIGGER log_ddl ON ddl_command_start EXECUTE FUNCTION public.log_ddl()")
    return Effect.map(database.run("DELETE FROM public.ddl_log RETURNING command"), (rows) =>
      rows.map((row): string => row.command)
    )
  })

/** The triggers on the table: their definitions, and whether they fire. */
export const triggers = (database: Stranger) =>
  database.run(
    `SELECT pg_get_triggerdef(oid) AS definition, tgenabled::text AS enabled FROM pg_trigger
     WHERE tgrelid = 'systemplane_entries'::regclass AND NOT tgisinternal ORDER BY tgname`
  )

/** Every row as it is stored, in the order of the names. */
export const rows = (database: Stranger) =>
  database.run(
    `SELECT namespace, key, value, revision::int, updated_at::text, updated_by
     FROM systemplane_entries ORDER BY namespace, key`
  )

/**
 * Listens on a connection of its own. The effect it yields returns all payloads committed before it runs: it notifies
 * itself, and takes what comes before that.
 */
export const listen = (database: TestDatabase) =>
  Effect.gen(function* () {
    const connection = yield* PgConnection.make({ url: database.url, applicationName: "listener" })
    const queue = yield* connection.listen("systemplane_changes")
    return Effect.gen(function* () {
      yield* database.run("SELECT pg_notify('systemplane_changes', 'that is all')")
      const payloads: Array<string> = []
      while (payloads.at(-1) !== "that is all") payloads.push((yield* Queue.take(queue)).payload)
      return payloads.slice(0, -1)
    }).pipe(Effect.orDie)
  }).pipe(Effect.orDie)

/** Whether a statement of the plane waits for a lock. */
export const blocked = (database: TestDatabase) =>
  Effect.flatMap(database.sessions, (sessions) =>
    Effect.map(
      database.run(
        "SELECT coalesce(bool_or(cardinality(pg_blocking_pids(pid)) > 0), false) AS any FROM unnest($1::int[]) AS p (pid)",
        [sessions.map((session) => session.pid)]
      ),
      ([row]): boolean => row.any
    )
  )

const onSubscribers = [
  ["systemplane_notify_trigger", "ALWAYS"],
  ["systemplane_notify_update_trigger", "ALWAYS"],
  ["systemplane_notify_truncate_trigger", "ALWAYS"],
  ["systemplane_follow_revision_trigger", "REPLICA"]
] as const

/** Runs it in a transaction in which no trigger of the plane fires, not even those that serve a subscriber. */
export const withoutTriggers = <A>(database: Stranger, effect: Effect.Effect<A>) =>
  database.transaction(
    Effect.gen(function* () {
      yield* database.run("SET LOCAL session_replication_role = replica")
      for (const [name] of onSubscribers) yield* database.run(`ALTER TABLE systemplane_entries DISABLE TRIGGER ${name}`)
      const result = yield* effect
      for (const [name, when] of onSubscribers) {
        yield* database.run(`ALTER TABLE systemplane_entries ENABLE ${when} TRIGGER ${name}`)
      }
      return result
    })
  )
