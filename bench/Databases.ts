/** Databases to measure on: one server of our own, and copies of a database that is prepared as a tenant's is. */
import { Effect, Redacted } from "effect"
import { Ddl } from "effect-systemplane"
import Pg from "pg"
import * as PostgresServer from "../dev/PostgresServer.ts"

/** A `pg` client that is closed with the scope. */
export const connect = (url: Redacted.Redacted) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Pg.Client({ connectionString: Redacted.value(url) })
      // What ends a session shows in the statement that meets it.
      client.on("error", () => {})
      await client.connect()
      return client
    }),
    (client) => Effect.promise(() => client.end())
  )

export const server = PostgresServer.makeWith({ max_connections: "1000" })

/** The rows that a prepared database holds: as many keys as said, each with its number for a value. */
export const rows = (count: number) =>
  `INSERT INTO systemplane_entries (namespace, key, value)
   SELECT 'service-' || (k / 10), 'limit-' || k, to_jsonb(k) FROM generate_series(0, ${count - 1}) AS k`

/** Databases of these names, each with the schema of a tenant and `rowCount` rows. */
export const create = Effect.fnUntraced(function* (
  server: PostgresServer.PostgresServer,
  names: ReadonlyArray<string>,
  rowCount: number,
  schema: string = Ddl.sql
) {
  const [first, ...others] = names
  const run = (database: string, statements: ReadonlyArray<string>) =>
    Effect.scoped(
      Effect.flatMap(connect(server.url(database)), (client) =>
        Effect.promise(async () => {
          for (const statement of statements) await client.query(statement)
        })
      )
    )
  yield* run("postgres", [`CREATE DATABASE "${first}"`])
  yield* run(first!, [schema, ...(rowCount > 0 ? [rows(rowCount)] : []), "ANALYZE"])
  yield* run(
    "postgres",
    others.map((name) => `CREATE DATABASE "${name}" TEMPLATE "${first}" STRATEGY FILE_COPY`)
  )
})
