/** What the fast check of the schema tells, and that it tells no more than that: of whatever is missing it says no. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isSqlError } from "effect/sql/SqlError"
import { Ddl, type Seed } from "effect-systemplane"
import * as PgSchemaCheck from "../../src/layers/postgres/PgSchemaCheck.ts"
import * as DdlEntries from "../../src/schema/DdlEntries.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"
import * as OlderServices from "./OlderServices.ts"

/** As a session has it: a statement that the server refuses is a failure. */
const findsEverything = ({ run }: TestDatabase.Stranger, seeds: ReadonlyArray<Seed> = []) =>
  PgSchemaCheck.findsEverything(
    (sql, params) =>
      Effect.catchDefect(run(sql, params), (error) => (isSqlError(error) ? Effect.fail(error) : Effect.die(error))),
    seeds
  )

const onPreparedDatabase = <A>(test: (database: TestDatabase.TestDatabase) => Effect.Effect<A, unknown>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* Catalog.prepare(database)
      return yield* test(database)
    })
  )

const { drawRevision, notify } = DdlEntries

describe("the fast check of the schema", () => {
  it.live("finds everything on a prepared database", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        assert.isTrue(yield* findsEverything(database))
      })
    )
  )

  it.live("finds everything if older services brought triggers and functions that do the same", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* OlderServices.triggersV4(database)
        assert.isTrue(yield* findsEverything(database))
      })
    )
  )

  it.live("finds everything only if each default has a row, whatever its value", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const seeds = [
          { namespace: "a", key: 'the "first"', json: "1" },
          { namespace: "a", key: "second", json: "2" }
        ]
        assert.isFalse(yield* findsEverything(database, seeds))
        yield* database.write("a", 'the "first"', 1)
        yield* database.write("b", "second", 2)
        assert.isFalse(yield* findsEverything(database, seeds))
        yield* database.write("a", "second", "an operator's")
        assert.isTrue(yield* findsEverything(database, seeds))
        yield* database.run("DROP TRIGGER systemplane_notify_trigger ON systemplane_entries")
        assert.isFalse(yield* findsEverything(database, seeds))
      })
    )
  )

  it.live("finds nothing on an empty database", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const database = yield* TestDatabase.make
        assert.isFalse(yield* findsEverything(database))
        assert.isFalse(yield* findsEverything(database, [{ namespace: "a", key: "first", json: "1" }]))
      })
    )
  )

  it.live("does not find everything for a role that lacks a privilege", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const role = yield* TestDatabase.makeRole
        const database = yield* TestDatabase.make
        yield* Catalog.prepare(database)
        const asRole = yield* TestDatabase.asRole(database, role)
        for (const privilege of ["SELECT", "INSERT", "UPDATE", "DELETE"]) {
          yield* database.run(Ddl.grants(role.user))
          assert.isTrue(yield* findsEverything(asRole))
          yield* database.run(`REVOKE ${privilege} ON systemplane_entries FROM "${role.user}"`)
          assert.isFalse(yield* findsEverything(asRole), privilege)
        }
      })
    )
  )

  const losses: Record<string, ReadonlyArray<string>> = {
    "a trigger is gone": ["DROP TRIGGER systemplane_notify_trigger ON systemplane_entries"],
    "a trigger does not fire": ["ALTER TABLE systemplane_entries DISABLE TRIGGER systemplane_notify_update_trigger"],
    "a trigger fires on something else": [
      `CREATE OR REPLACE TRIGGER systemplane_notify_trigger AFTER INSERT ON systemplane_entries
       FOR EACH ROW EXECUTE FUNCTION ${notify.name}()`
    ],
    "a function has another body": [
      `CREATE OR REPLACE FUNCTION ${notify.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$`
    ],
    "revisions are drawn with the writer's rights": [`ALTER FUNCTION ${drawRevision.name}() SECURITY INVOKER`],
    "the sequence is gone": ["DROP SEQUENCE systemplane_revision_seq"],
    "something else has the sequence's name": [
      "DROP SEQUENCE systemplane_revision_seq",
      "CREATE VIEW systemplane_revision_seq AS SELECT 1 AS last_value"
    ],
    "the column is gone": ["ALTER TABLE systemplane_entries DROP COLUMN revision CASCADE"]
  }
  for (const [what, statements] of Object.entries(losses)) {
    it.live(`does not find everything if ${what}`, () =>
      onPreparedDatabase((database) =>
        Effect.gen(function* () {
          for (const statement of statements) yield* database.run(statement)
          assert.isFalse(yield* findsEverything(database))
        })
      )
    )
  }
})
