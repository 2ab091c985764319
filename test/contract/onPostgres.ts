/** The implementations on PostgreSQL: a database of its own for each suite, which a migration pipeline prepared. */
import { Context, Effect, Layer } from "effect"
import { KeyRegistry, PgConnector } from "effect-systemplane"
import type { MemoryChange } from "effect-systemplane/testing"
import * as PgDatabases from "../../src/layers/postgres/PgDatabases.ts"
import * as PgEntryStore from "../../src/layers/postgres/PgEntryStore.ts"
import * as PgHistoryStore from "../../src/layers/postgres/PgHistoryStore.ts"
import * as PgKeyDeclarations from "../../src/layers/postgres/PgKeyDeclarations.ts"
import * as PgListenFeed from "../../src/layers/postgres/PgListenFeed.ts"
import * as PgSchemaBootstrap from "../../src/layers/postgres/PgSchemaBootstrap.ts"
import * as Catalog from "../postgres/Catalog.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import { Acme } from "./Acme.ts"
import { below, type Implementation } from "./Implementation.ts"

class Database extends Context.Service<Database, TestDatabase.TestDatabase>()("test/Database") {}

const database = Layer.effect(
  Database,
  Effect.tap(TestDatabase.make, (database) => Catalog.prepare(database))
)

let copies = 0

const stranger = Layer.effect(
  Acme,
  Effect.map(Database, (database) => {
    const apply = (changes: ReadonlyArray<MemoryChange>) =>
      Effect.forEach(changes, ({ key, ...change }) =>
        "value" in change
          ? database.write(key.namespace, key.key, change.value)
          : database.erase(key.namespace, key.key)
      )
    const withoutTriggers = <A>(effect: Effect.Effect<A>) => Catalog.withoutTriggers(database, effect)
    return Acme.of({
      write: (key, value) => database.write(key.namespace, key.key, value),
      erase: (key) => database.erase(key.namespace, key.key),
      transact: (changes) => Effect.asVoid(database.transaction(apply(changes))),
      // Without its trigger a new row has no revision of its own.
      withoutTriggers: (changes) =>
        Effect.asVoid(
          withoutTriggers(
            Effect.andThen(
              database.run("ALTER TABLE systemplane_entries ALTER COLUMN revision SET DEFAULT 0"),
              apply(changes)
            )
          )
        ),
      truncate: Effect.asVoid(database.run("TRUNCATE systemplane_entries")),
      backup: Effect.gen(function* () {
        const copy = `backup_${++copies}`
        yield* database.run(`CREATE TABLE ${copy} AS SELECT * FROM systemplane_entries`)
        const [{ last_value }] = yield* database.run("SELECT last_value::text FROM systemplane_revision_seq")
        return Effect.asVoid(
          withoutTriggers(
            Effect.forEach(
              [
                "DELETE FROM systemplane_entries",
                `INSERT INTO systemplane_entries SELECT * FROM ${copy}`,
                `SELECT setval('systemplane_revision_seq', ${last_value})`
              ],
              (sql) => database.run(sql)
            )
          )
        )
      }),
      rows: Effect.map(
        database.run(
          `SELECT namespace, key, value, revision::int, updated_at, updated_by
           FROM systemplane_entries ORDER BY namespace COLLATE "C", key COLLATE "C"`
        ),
        (rows) =>
          rows.map(({ updated_at, updated_by, ...row }) => ({
            ...row,
            updatedAt: updated_at.getTime(),
            updatedBy: updated_by
          }))
      ),
      listeners: database.listeners,
      sessions: Effect.map(database.sessions, (sessions) => sessions.length),
      killListeners: database.killListeners
    })
  })
)

const emptied = Effect.tap(Database, (database) =>
  Effect.andThen(
    database.run("TRUNCATE systemplane_entries"),
    Catalog.withoutTriggers(database, database.run("DELETE FROM systemplane_keys"))
  )
)

const connector = Layer.unwrap(Effect.map(emptied, ({ url }) => PgConnector.layerRecord({ acme: { url } })))

const services = Layer.mergeAll(
  PgEntryStore.layer,
  PgHistoryStore.layer,
  PgKeyDeclarations.layer,
  PgSchemaBootstrap.layer({ followed: true }),
  PgListenFeed.layer({ history: true, maxStaleness: 30_000, prepared: false })
).pipe(
  Layer.provide([PgDatabases.layer, Layer.orDie(KeyRegistry.layer([]))]),
  Layer.provide(below),
  Layer.provide(connector),
  Layer.merge(stranger)
)

export const onPostgres: Implementation<Database> = {
  name: "PostgreSQL",
  database,
  services,
  plane: (options) =>
    Layer.unwrap(Effect.map(emptied, (acme) => TestPlane.layer({ acme }, options))).pipe(Layer.merge(stranger))
}
