/**
 * Writers that are not ours and that no trigger may miss: a role that has nothing but the rights to read and write,
 * COPY, MERGE, savepoints, sessions that are killed, and a Go service, which writes a history of its own into the same
 * table in its own transaction.
 */
import { Effect } from "effect"
import * as Keys from "../Keys.ts"
import type { Database } from "./Database.ts"

const dmlRole = "soak_writer"
const serviceRole = "soak_service"

/** On the server, once. */
export const roles = [`CREATE ROLE ${dmlRole}`, `CREATE ROLE ${serviceRole}`]

/** In each database. */
export const grants = [
  `GRANT SELECT, INSERT, UPDATE, DELETE ON systemplane_entries TO ${dmlRole}, ${serviceRole}`,
  `GRANT SELECT, INSERT ON systemplane_history TO ${serviceRole}`
]

export const upsert = `INSERT INTO systemplane_entries (namespace, key, value, updated_by) VALUES ($1, $2, $3::jsonb, 'foreign')
ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by`

const write = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(upsert, [namespace, key, value])

const as = <A, E>(database: Database, role: string, effect: Effect.Effect<A, E>) =>
  database.transaction(Effect.andThen(database.run(`SET LOCAL ROLE ${role}`), effect))

/** By hand, as a role that owns nothing. */
export const writeWithDmlAlone = (database: Database, key: Keys.SoakKey, value: string) =>
  as(database, dmlRole, write(database, key, value))

/** A Go service writes an entry, and tells of it in a history that it takes for its own. */
export const writeAsService = (database: Database, key: Keys.SoakKey, value: string) =>
  as(
    database,
    serviceRole,
    Effect.gen(function* () {
      const [row] = yield* database.run(`${upsert} RETURNING revision::float8 AS revision`, [
        key.namespace,
        key.key,
        value
      ])
      yield* database.run(
        `INSERT INTO systemplane_history (namespace, key, operation, revision, value, changed_by)
         VALUES ($1, $2, 'update', $3, $4::jsonb, 'service')`,
        [key.namespace, key.key, row.revision, value]
      )
    })
  )

/** Replaces a row by what a program prints, as a restore of single rows does. */
export const copy = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.transaction(
    Effect.andThen(
      database.run("DELETE FROM systemplane_entries WHERE namespace = $1 AND key = $2", [namespace, key]),
      database.run(
        `COPY systemplane_entries (namespace, key, value, updated_by)
         FROM PROGRAM 'printf ''%s\\t%s\\t%s\\tcopy\\n'' ''${namespace}'' ''${key}'' ''${value}'''`
      )
    )
  )

/** Both keys of a pair, by one statement that inserts or updates each. */
export const mergePair = (database: Database, value: string) =>
  database.run(
    `MERGE INTO systemplane_entries AS e
     USING (VALUES ($1::text, $2::text), ($1, $3)) AS s (namespace, key)
     ON e.namespace = s.namespace AND e.key = s.key
     WHEN MATCHED THEN UPDATE SET value = $4::jsonb, updated_by = 'foreign'
     WHEN NOT MATCHED THEN INSERT (namespace, key, value, updated_by) VALUES (s.namespace, s.key, $4::jsonb, 'foreign')`,
    [Keys.Left.namespace, Keys.Left.key, Keys.Right.key, value]
  )

/** Two writes of one transaction, and between them one that is taken back. */
export const writeWithSavepoint = (database: Database, tenant: string, stamp: () => string) => {
  const next = () => JSON.stringify({ tenant, stamp: stamp() })
  return database.transaction(
    Effect.gen(function* () {
      yield* write(database, Keys.Plain, next())
      yield* database.run("SAVEPOINT before")
      yield* write(database, Keys.Rough, next())
      yield* write(database, Keys.Plain, next())
      yield* database.run("ROLLBACK TO SAVEPOINT before")
      yield* write(database, Keys.Rough, next())
    })
  )
}

/** A session that dies with its transaction open: nothing of it may be on record. */
export const writeAndDie = (database: Database, key: Keys.SoakKey, value: string) =>
  database.transaction(
    Effect.andThen(write(database, key, value), database.run("SELECT pg_terminate_backend(pg_backend_pid())"))
  )
