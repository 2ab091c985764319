import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option } from "effect"
import { EntryStore, type EntryStoreError, type KeyName, SchemaBootstrap } from "effect-systemplane"
import { put, putAll, remove } from "../support/StoreWrites.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { a, b, diff, know, nothing, valuesOf } from "../support/TestEntries.ts"
import * as Catalog from "./Catalog.ts"
import { acme, onEmptyDatabase } from "./TestStore.ts"

const read = (key: KeyName) => EntryStore.use((store) => store.read(acme, key))
const release = EntryStore.use((store) => store.release(acme))

const onDatabase = <A, E>(
  test: (database: TestDatabase.TestDatabase) => Effect.Effect<A, E, EntryStore | SchemaBootstrap>
) => onEmptyDatabase((database) => Effect.andThen(Catalog.prepare(database), test(database)))

/** Runs a statement as replication and restoring do: no trigger fires. */
const withoutTriggers = (database: TestDatabase.TestDatabase, statement: string) =>
  database.transaction(
    Effect.andThen(database.run("SET LOCAL session_replication_role = replica"), database.run(statement))
  )

describe("EntryStore.diff", () => {
  it.live("EntryStore.diff finds whatever changes in a row: the value, the revision, who wrote it, and when", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* put(a, `{"x": 1}`, { actor: "somebody" })
        for (const change of [
          `value = '{"x": 2}'`,
          "revision = revision + 1",
          "revision = revision - 1",
          "updated_at = updated_at + interval '1 microsecond'",
          "updated_by = 'somebod'",
          "updated_by = ''"
        ]) {
          const known = yield* know
          yield* withoutTriggers(database, `UPDATE systemplane_entries SET ${change}`)
          assert.deepStrictEqual(
            (yield* diff(known)).map(({ slot }) => slot),
            [0],
            change
          )
        }
      })
    )
  )

  it.live("EntryStore.diff of unknown keys is their rows, as read finds them, and no others", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const many = Array.from({ length: 40 }, (_, i) => ({ namespace: `n${i % 3}`, key: `k"${i}\\` }))
        const differencesOf = (keys: ReadonlyArray<KeyName>) =>
          EntryStore.use((store) =>
            store.diff(acme)(
              keys,
              keys.map(() => undefined)
            )
          )
        yield* database.run(
          `INSERT INTO systemplane_entries (namespace, key, value)
           SELECT 'n1', 'undeclared-' || i, '1' FROM generate_series(1, 100) AS i`
        )
        for (const [i, { key, namespace }] of many.entries()) if (i % 2 === 0) yield* database.write(namespace, key, i)
        yield* database.write("elsewhere", many[0]!.key, 2)
        const oneByOne = (yield* Effect.forEach(many, (key) => differencesOf([key]))).flat().map(({ row }) => row)
        assert.deepStrictEqual(
          oneByOne.map((row) => row?.value),
          many
            .keys()
            .filter((slot) => slot % 2 === 0)
            .toArray()
        )
        const together = Effect.map(differencesOf(many), (found) => found.toSorted((a, b) => a.slot - b.slot))
        // Also if their namespaces hold more rows of others, as they do at first.
        for (const others of ["many others", "few others"]) {
          const found = yield* together
          assert.deepStrictEqual(
            found.map(({ row }) => row),
            oneByOne,
            others
          )
          assert.deepStrictEqual(
            found.map(({ slot }) => slot),
            found.map(({ row }) => row?.value as number)
          )
          yield* database.run("DELETE FROM systemplane_entries WHERE key LIKE 'undeclared-__%'")
        }
      })
    )
  )

  it.live("EntryStore.diff is empty if there are no keys: not even the table is needed", () =>
    onEmptyDatabase(() =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* EntryStore.use((store) => store.diff(acme)([], [])), [])
      })
    )
  )

  it.live("EntryStore.diff brings a row that JavaScript cannot express into range", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const weird = ["infinity", "-infinity", "4714-11-24 00:00:00 BC"]
        for (const updatedAt of weird) {
          yield* database.run("TRUNCATE systemplane_entries")
          yield* withoutTriggers(
            database,
            `INSERT INTO systemplane_entries (namespace, key, value, revision, updated_at)
             VALUES ('n', 'a', '1', 9223372036854775807, '${updatedAt}')`
          )
          yield* put(b, "2")
          const found = yield* diff(nothing)
          assert.deepStrictEqual(valuesOf(found), { 0: 1, 1: 2 })
          assert.strictEqual(found[0]?.row?.revision, Number.MAX_SAFE_INTEGER)
          assert.deepStrictEqual(yield* read(a), Option.fromUndefinedOr(found[0]?.row))
          assert.deepStrictEqual(yield* Effect.flatMap(know, diff), [])
          assert.deepStrictEqual(yield* remove(a), Option.some(Number.MAX_SAFE_INTEGER))
        }
      })
    )
  )

  it.live("EntryStore.diff does not depend on the time zone or the settings of the session", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* put(a, `{"x": 1.5}`)
        const known = yield* know
        yield* database.run(`ALTER DATABASE ${database.name} SET timezone = 'Asia/Kathmandu'`)
        yield* database.run(`ALTER DATABASE ${database.name} SET datestyle = 'German'`)
        yield* database.run(`ALTER DATABASE ${database.name} SET extra_float_digits = 0`)
        yield* release
        assert.deepStrictEqual(yield* diff(known), [])
      })
    )
  )
})

describe("EntryStore.release", () => {
  it.live("EntryStore.release waits for statements under way; the next one connects afresh", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* put(a, "1")
        const services = yield* Effect.context<EntryStore>()
        const writing = yield* database.transaction(
          Effect.gen(function* () {
            yield* database.write("n", "a", 2)
            const writing = yield* Effect.forkDetach(Effect.provide(put(a, "3"), services))
            yield* TestDatabase.eventually("the write waits for the row", Catalog.blocked(database))
            yield* Effect.provide(release, services)
            return writing
          })
        )
        assert.strictEqual((yield* Fiber.join(writing)).value, 3)
        yield* TestDatabase.eventually(
          "nothing is held",
          Effect.map(database.sessions, (sessions) => sessions.length === 0)
        )
        assert.strictEqual(Option.getOrThrow(yield* read(a)).value, 3)
      })
    )
  )

  it.live("does nothing if nothing is held", () => onEmptyDatabase(() => Effect.andThen(release, release)))
})

describe("EntryStore errors", () => {
  it.live("EntryStore errors tell what to run if the table is missing", () =>
    onEmptyDatabase(() =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(read(a))
        assert.deepInclude(error.reason, { _tag: "Refused", code: "42P01" })
        assert.include(error.message, "Tenant acme")
        assert.include(error.message, "run Ddl.sql")
      })
    )
  )

  it.live("G10: the outcome of a write is unknown if its session ended meanwhile", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* put(a, "1")
        const services = yield* Effect.context<EntryStore>()
        const error = yield* database.transaction(
          Effect.gen(function* () {
            yield* database.write("n", "a", 2)
            const writing = yield* Effect.forkDetach(Effect.flip(Effect.provide(put(a, "3"), services)))
            yield* TestDatabase.eventually("the write waits for the row", Catalog.blocked(database))
            const [session] = yield* database.sessions
            yield* database.run("SELECT pg_terminate_backend($1)", [session?.pid])
            return yield* Effect.orDie(Fiber.join(writing))
          })
        )
        assert.strictEqual(error.reason._tag, "Unanswered")
        assert.strictEqual(Option.getOrThrow(yield* read(a)).value, 2)
      })
    )
  )
})

describe("a session that is out of date", () => {
  it.live("G13: a write that is refused for what its session began with has the next one connect afresh", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const refusedOnce = Effect.fnUntraced(function* (code: string, value: string) {
          const { reason } = yield* Effect.flip(put(a, value))
          assert.deepInclude(reason, { _tag: "Refused", code })
          yield* put(a, value)
        })
        yield* database.run(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)
        yield* read(a)
        yield* database.run(`ALTER DATABASE ${database.name} RESET default_transaction_read_only`)
        yield* refusedOnce("25006", "1")
        // The functions of triggers keep the types of columns that they first ran with.
        yield* put(a, "2")
        yield* database.run("ALTER TABLE systemplane_entries ALTER key TYPE varchar(99)")
        yield* refusedOnce("42804", "3")
      })
    )
  )

  it.live("G13: a setting that was taken back is not what writes are refused for as long as they are tried", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run(`ALTER DATABASE ${database.name} SET search_path = ''`)
        const { reason } = yield* Effect.flip(put(a, "1"))
        assert.deepInclude(reason, { _tag: "Refused", code: "42P01" })
        yield* database.run(`ALTER DATABASE ${database.name} RESET search_path`)
        const lands = Effect.match(put(a, "1"), { onFailure: () => false, onSuccess: () => true })
        yield* TestDatabase.eventually("a write lands", lands)
      })
    )
  )
})

/** Puts a trigger of the database's users in the place of the one before. */
const trigger = (database: TestDatabase.TestDatabase, fires: string, body: string) =>
  Effect.andThen(
    database.run(`CREATE OR REPLACE FUNCTION users_own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} END $$`),
    database.run(`CREATE OR REPLACE TRIGGER users_own ${fires} EXECUTE FUNCTION users_own()`)
  )

const eachRow = "ON systemplane_entries FOR EACH ROW WHEN (pg_trigger_depth() = 0)"

describe("triggers of a database's users", () => {
  it.live("G7: a default that they would change is not stored: it would look like an operator's value", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const seeds = [
          { ...a, json: "600" },
          { ...b, json: "20" }
        ]
        const again = `UPDATE systemplane_entries SET updated_by = 'audit' WHERE key = NEW.key`
        for (const [fires, body] of [
          [`BEFORE INSERT ${eachRow}`, `NEW.updated_by := current_user; RETURN NEW;`],
          [`BEFORE INSERT ${eachRow}`, `NEW.value := '601'; RETURN NEW;`],
          [`AFTER INSERT ${eachRow}`, `${again}; RETURN NULL;`]
        ] as const) {
          yield* trigger(database, fires, body)
          const { inserted, refused } = yield* SchemaBootstrap.use((bootstrap) => bootstrap.seed(acme, seeds))
          assert.deepStrictEqual([inserted, refused.map(({ code }) => code)], [0, ["SP002", "SP002"]], body)
          assert.deepStrictEqual(yield* Catalog.rows(database), [])
        }
        yield* trigger(database, `AFTER INSERT ${eachRow}`, "RETURN NULL;")
        const { inserted } = yield* SchemaBootstrap.use((bootstrap) => bootstrap.seed(acme, seeds))
        assert.strictEqual(inserted, 2)
      })
    )
  )

  it.live("G1: a row that they write once more in the same transaction differs from what the write returned", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const value = (text: string) => JSON.stringify(text.repeat(100))
        yield* put(a, value("x"))
        for (const change of ["updated_by = 'audit'", `value = '${value("z")}'`]) {
          const again = `SET LOCAL session_replication_role = replica; UPDATE systemplane_entries SET ${change};`
          yield* trigger(database, `AFTER UPDATE ${eachRow}`, `${again} RETURN NULL;`)
          const { fingerprint } = yield* put(a, value("y"))
          const found = yield* diff([fingerprint, undefined, undefined])
          assert.deepStrictEqual(
            found.map(({ slot }) => slot),
            [0],
            change
          )
          assert.deepStrictEqual(yield* diff(yield* know), [])
        }
      })
    )
  )

  it.live("G10: a write that they skip, or turn into another, fails in words and leaves nothing behind", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* put(a, "1")
        const skips = (fires: string, body: string, write: Effect.Effect<unknown, EntryStoreError, EntryStore>) =>
          Effect.gen(function* () {
            yield* trigger(database, fires, body)
            const before = yield* Catalog.rows(database)
            const { message, reason } = yield* Effect.flip(write)
            assert.strictEqual(reason._tag, "Skipped", body)
            assert.include(message, "a trigger on systemplane_entries (users_own) skipped or refused the write")
            assert.deepStrictEqual(yield* Catalog.rows(database), before, body)
          })
        const otherwise = `INSERT INTO systemplane_entries (namespace, key, value) VALUES (NEW.namespace, 'x', '0')`
        yield* skips(`BEFORE DELETE ${eachRow}`, "RETURN NULL;", remove(a))
        yield* skips(`BEFORE DELETE ${eachRow}`, "UPDATE systemplane_entries SET value = '0'; RETURN NULL;", remove(a))
        yield* skips(`BEFORE UPDATE ${eachRow}`, "RETURN NULL;", put(a, "2"))
        yield* skips(`BEFORE INSERT ${eachRow}`, "RETURN NULL;", put(b, "2", { ifRevision: 0 }))
        yield* skips(`BEFORE INSERT ${eachRow}`, `${otherwise}; RETURN NULL;`, put(b, "2"))
        yield* skips(`BEFORE INSERT ${eachRow}`, "NEW.key := 'x'; RETURN NEW;", put(b, "2", { ifRevision: 0 }))
        const one = `IF NEW.key = '${b.key}' THEN RETURN NULL; END IF; RETURN NEW;`
        yield* skips(
          `BEFORE INSERT ${eachRow}`,
          one,
          putAll([
            [a, "2"],
            [b, "3"]
          ])
        )
        // One that does no harm is in the way of nothing, nor of a change that comes again.
        yield* trigger(database, `BEFORE INSERT OR UPDATE ${eachRow}`, "RETURN NEW;")
        const id = "6f9c1c5e-5d2b-4c39-a8a4-6a1b2c3d4e5f"
        const first = yield* put(a, "5", { id })
        assert.strictEqual((yield* put(a, "5", { id })).revision, first.revision)
        assert.strictEqual((yield* put(b, "5", { ifRevision: 0 })).value, 5)
        // A person is told as well.
        yield* trigger(database, `BEFORE UPDATE ${eachRow}`, "RETURN NULL;")
        const told = yield* Effect.exit(database.run(`SELECT systemplane_set('${a.namespace}', '${a.key}', '6')`))
        assert.isTrue(Exit.isFailure(told))
      })
    )
  )
})
