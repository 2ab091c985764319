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
  it.live(
    "the fast check of the schema finds everything on a prepared database, unless it is one for many tenants",
    () =>
      onPreparedDatabase((database) =>
        Effect.gen(function* () {
          assert.isTrue(yield* findsEverything(database))
          yield* database.run("ALTER TABLE systemplane_entries ADD COLUMN tenant_id text")
          assert.isFalse(yield* findsEverything(database))
          yield* database.run("ALTER TABLE systemplane_entries DROP COLUMN tenant_id")
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
    "G13: a session is looked at before its first read, or with its second if the objects were in order just now or were not to be looked at",
    () =>
      onPreparedDatabase((database) =>
        Effect.gen(function* () {
          const notify = (how: string) =>
            database.run(`ALTER TABLE systemplane_entries ${how} TRIGGER systemplane_notify_trigger`)
          const watched = (prepared: boolean) => {
            const watch = PgSchemaWatch.make(objects(true), { interval: 1, prepared })
            let looks = 0
            const open = (query = Catalog.query(database)) => ({ query, reads: watch.on(query, () => void looks++) })
            return { open, looks: () => looks }
          }
          const losesUnnoticed = ({ reads }: ReturnType<ReturnType<typeof watched>["open"]>) =>
            Effect.gen(function* () {
              assert.isTrue(yield* reads)
              yield* notify("DISABLE")
              const found = Effect.map(reads, (asItWas) => !asItWas)
              yield* TestDatabase.eventually("the session finds what was lost", found)
              yield* notify("ENABLE ALWAYS")
            })

          // What preparing changed is looked at before the first read: what is lost after it must not be taken for it.
          const changed = watched(true)
          const first = changed.open()
          assert.isTrue(yield* first.reads)
          assert.strictEqual(changed.looks(), 1)
          yield* losesUnnoticed(changed.open())

          const inOrder = watched(true)
          const query = Catalog.query(database)
          assert.isTrue(yield* PgSchemaCheck.findsEverything(query, []))
          yield* losesUnnoticed(inOrder.open(query))

          // Nothing is known of a database that was not prepared, until the first look.
          const skipped = watched(false)
          const session = skipped.open()
          assert.isTrue(yield* session.reads)
          assert.strictEqual(skipped.looks(), 0)
          yield* TestDatabase.eventually(
            "it was looked at",
            Effect.map(session.reads, () => skipped.looks() > 0)
          )
          yield* losesUnnoticed(session)

          // What stands in the place of the table meanwhile is not read.
          yield* notify("DISABLE")
          for (const { open } of [changed, inOrder, skipped]) assert.isFalse(yield* open().reads)
          // Nor is it if the tenant was prepared and nothing else is known of it. What only warns is.
          assert.isFalse(yield* watched(true).open().reads)
          yield* notify("ENABLE ALWAYS")
          yield* database.run("DROP VIEW systemplane_recent_changes")
          assert.isTrue(yield* watched(true).open().reads)
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
