/** What the fast check of the schema tells. What it finds missing or changed is looked at with `verify`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Ddl, type Seed } from "effect-systemplane"
import * as PgSchemaCheck from "../../src/layers/postgres/schema/PgSchemaCheck.ts"
import * as PgSchemaWatch from "../../src/layers/postgres/schema/PgSchemaWatch.ts"
import { objects } from "../../src/schema/ddl/Ddl.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"
import * as OlderServices from "./OlderServices.ts"

const findsEverything = (database: TestDatabase.Stranger, seeds: ReadonlyArray<Seed> = []) =>
  PgSchemaCheck.findsEverything(Catalog.query(database), seeds)

const onPreparedDatabase = <A>(test: (database: TestDatabase.TestDatabase) => Effect.Effect<A, unknown>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* Catalog.prepare(database)
      return yield* test(database)
    })
  )

describe("the fast check of the schema", () => {
  it.live("the fast check of the schema finds everything on a prepared database", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        assert.isTrue(yield* findsEverything(database))
      })
    )
  )

  it.live(
    "the fast check of the schema finds everything if older services brought triggers and functions that do the same",
    () =>
      onPreparedDatabase((database) =>
        Effect.gen(function* () {
          yield* OlderServices.triggersV4(database)
          assert.isTrue(yield* findsEverything(database))
        })
      )
  )

  it.live("the fast check of the schema finds everything only if each default has a row, whatever its value", () =>
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

  it.live("the fast check of the schema finds nothing on an empty database", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const database = yield* TestDatabase.make
        assert.isFalse(yield* findsEverything(database))
        assert.isFalse(yield* findsEverything(database, [{ namespace: "a", key: "first", json: "1" }]))
      })
    )
  )

  it.live(
    "G13: a session that follows another one is read at once, and its objects are looked at with the next read",
    () =>
      onPreparedDatabase((database) =>
        Effect.gen(function* () {
          let looks = 0
          const watch = PgSchemaWatch.make(objects(true), 1)
          const session = () => watch.on(Catalog.query(database), () => void looks++)
          const first = session()
          assert.isTrue(yield* first)
          assert.strictEqual(looks, 1)
          yield* TestDatabase.eventually(
            "the first look is of no use any more",
            Effect.map(first, () => looks > 1)
          )
          const seen = looks
          yield* database.run("DROP TRIGGER systemplane_notify_trigger ON systemplane_entries")
          const second = session()
          assert.isTrue(yield* second)
          assert.strictEqual(looks, seen)
          yield* TestDatabase.eventually(
            "the second session finds what was lost",
            Effect.map(second, (asItWas) => !asItWas)
          )
        })
      )
  )

  it.live("the fast check of the schema does not find everything for a role that lacks a privilege", () =>
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
})
