import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { EntryStore, type KeyName } from "effect-systemplane"
import { put, remove } from "../support/StoreWrites.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { a, b, diff, know, nothing, valuesOf } from "../support/TestEntries.ts"
import * as Catalog from "./Catalog.ts"
import { acme, onEmptyDatabase } from "./TestStore.ts"

const read = (key: KeyName) => EntryStore.use((store) => store.read(acme, key))
const release = EntryStore.use((store) => store.release(acme))

const onDatabase = <A, E>(test: (database: TestDatabase.TestDatabase) => Effect.Effect<A, E, EntryStore>) =>
  onEmptyDatabase((database) => Effect.andThen(Catalog.prepare(database), test(database)))

/** Runs a statement as replication and restoring do: no trigger fires. */
const withoutTriggers = (database: TestDatabase.TestDatabase, statement: string) =>
  database.transaction(
    Effect.andThen(database.run("SET LOCAL session_replication_role = replica"), database.run(statement))
  )

describe("EntryStore.diff", () => {
  it.live("tell of whatever is in a row: the value, the revision, who wrote it, and when", () =>
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

  it.live("of many keys of which nothing is known are their rows, as they are found one by one, and no others", () =>
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

  it.live("are none if there are no keys: not even the table is needed", () =>
    onEmptyDatabase(() =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* EntryStore.use((store) => store.diff(acme)([], [])), [])
      })
    )
  )

  it.live("survive a row that JavaScript cannot express: it is brought into range, and the others are read", () =>
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

  it.live("do not depend on the time zone or the settings of the session", () =>
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
  it.live("lets go of what is held, after the statements under way; the next statement connects afresh", () =>
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
  it.live("tell what to run if the table is missing", () =>
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
