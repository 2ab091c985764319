/**
 * What a session says of a table that it has read before, however that changed since: the same as the server says key
 * by key.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import * as PgDigestDiff from "../../src/layers/postgres/diff/PgDigestDiff.ts"
import * as PgKeyDiff from "../../src/layers/postgres/diff/PgKeyDiff.ts"
import type { KeyName } from "../../src/schema/KeyName.ts"
import type { RowDiff } from "../../src/schema/Snapshot.ts"
import type { Query, QueryEach } from "../../src/services/Connector.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"

const keys = [..."abcdefgh"].map((key) => ({ namespace: key < "e" ? "left" : "right", key }))

/** With no age, which is another at every reading; in the order of the slots. */
const ageless = (diff: ReadonlyArray<RowDiff>) =>
  diff.map(({ row, slot }) => ({ slot, row })).sort((a, b) => a.slot - b.slot)

const onSession = <A>(test: (session: Effect.Success<typeof open>) => Effect.Effect<A, unknown>) =>
  Effect.scoped(Effect.flatMap(open, test))

const open = Effect.gen(function* () {
  const database = yield* TestDatabase.make
  yield* Catalog.prepare(database)
  let asked = 0
  let most = 0
  const query: Query = (sql, params) => {
    asked++
    return Effect.tap(database.run(sql, params), (rows) =>
      Effect.sync(() => {
        most = Math.max(most, rows.length)
      })
    )
  }
  // Row by row, as if each had arrived alone.
  const queryEach: QueryEach = (sql, params, take) =>
    Effect.map(query(sql, params), (rows) => {
      for (const row of rows) take([row])
    })
  const diff = PgDigestDiff.make(query, queryEach)
  let known: ReadonlyArray<bigint | undefined> = keys.map(() => undefined)
  let heard: ReadonlyArray<KeyName> = []
  return {
    database,
    /** A notification named the key before the next reading. */
    hear: (key: KeyName) => {
      heard = [key]
    },
    /** The most rows that a statement of the session answered. */
    mostRows: () => most,
    /** Takes what the session says for known from now on. Returns how many statements that took. */
    read: Effect.gen(function* () {
      asked = 0
      const found = yield* diff(keys, known, heard)
      heard = []
      const statements = asked
      assert.deepStrictEqual(ageless(found), ageless(yield* PgKeyDiff.diff(database.run, keys, known)))
      const next = known.slice()
      for (const { row, slot } of found) next[slot] = row?.fingerprint
      known = next
      return { statements, slots: ageless(found).map(({ slot }) => slot) }
    }),
    /** Takes the row of a key for known, as a write of our own does. */
    learn: (key: string) =>
      Effect.gen(function* () {
        const now = yield* PgKeyDiff.diff(
          database.run,
          keys,
          keys.map(() => undefined)
        )
        const slot = keys.findIndex((declared) => declared.key === key)
        known = known.with(slot, now.find((difference) => difference.slot === slot)?.row?.fingerprint)
      }),
    /** Runs a statement with the triggers disabled. */
    unseen: (sql: string) =>
      database.transaction(
        Effect.andThen(database.run("SET LOCAL session_replication_role = replica"), database.run(sql))
      )
  }
})

describe("PgDigestDiff", () => {
  it.live(
    "PgDigestDiff takes one short statement if it heard of the rows that were written, or if nothing changed; else one more",
    () =>
      onSession(({ database, hear, learn, read }) =>
        Effect.gen(function* () {
          yield* database.write("left", "a", 1)
          assert.deepStrictEqual(yield* read, { statements: 1, slots: [0] })
          assert.deepStrictEqual(yield* read, { statements: 1, slots: [] })
          yield* database.write("left", "a", 2)
          yield* database.write("right", "e", 2)
          assert.deepStrictEqual(yield* read, { statements: 2, slots: [0, 4] })
          yield* database.write("right", "e", 3)
          hear({ namespace: "right", key: "e" })
          assert.deepStrictEqual(yield* read, { statements: 1, slots: [4] })
          yield* database.write("right", "f", 3)
          yield* learn("f")
          assert.deepStrictEqual(yield* read, { statements: 1, slots: [] })
          yield* database.write("elsewhere", "a", 1)
          assert.deepStrictEqual(yield* read, { statements: 1, slots: [] })
        })
      )
  )

  it.live("PgDigestDiff takes a second statement for rows that went, came back older or changed unseen", () =>
    onSession(({ database, read, unseen }) =>
      Effect.gen(function* () {
        for (const { key, namespace } of keys) yield* database.write(namespace, key, key)
        yield* read
        const cases: ReadonlyArray<readonly [Effect.Effect<unknown>, ReadonlyArray<number>]> = [
          [database.erase("left", "b"), [1]],
          [database.run("UPDATE systemplane_entries SET updated_by = 'x' WHERE key = 'c'"), [2]],
          [unseen("UPDATE systemplane_entries SET value = '0' WHERE key = 'd'"), [3]],
          [
            unseen("INSERT INTO systemplane_entries (namespace, key, value, revision) VALUES ('left', 'b', '7', 1)"),
            [1]
          ],
          // Each has the other's row: together they say what they said before.
          [
            unseen(
              `UPDATE systemplane_entries AS e SET (value, revision, updated_at, updated_by) =
                 (SELECT value, revision, updated_at, updated_by FROM systemplane_entries AS o
                  WHERE o.key = CASE e.key WHEN 'a' THEN 'c' ELSE 'a' END)
               WHERE key IN ('a', 'c')`
            ),
            [0, 2]
          ],
          [database.write("left", "nobody declared it", 1), []],
          [database.run("TRUNCATE systemplane_entries"), keys.map((_, slot) => slot)]
        ]
        for (const [change, slots] of cases) {
          yield* change
          assert.deepStrictEqual(yield* read, { statements: 2, slots })
          assert.deepStrictEqual(yield* read, { statements: 1, slots: [] })
        }
      })
    )
  )

  it.live("PgDigestDiff has the server look key by key if the namespaces hold too many other rows", () =>
    onSession(({ database, read }) =>
      Effect.gen(function* () {
        yield* database.write("left", "a", 1)
        yield* read
        yield* database.run(
          "INSERT INTO systemplane_entries (namespace, key, value) SELECT 'left', 'other-' || n, '1' FROM generate_series(1, 200) AS n"
        )
        yield* database.write("left", "b", 1)
        assert.deepStrictEqual(yield* read, { statements: 3, slots: [1] })
        yield* database.write("left", "b", 2)
        assert.deepStrictEqual(yield* read, { statements: 1, slots: [1] })
      })
    )
  )

  it.live("PgDigestDiff takes no more rows of others than it may, however many there are", () =>
    onSession(({ database, mostRows, read }) =>
      Effect.gen(function* () {
        yield* database.write("left", "a", 1)
        yield* read
        yield* database.run(
          "INSERT INTO systemplane_entries (namespace, key, value) SELECT 'left', 'other-' || n, '1' FROM generate_series(1, 10000) AS n"
        )
        yield* read
        assert.isAtMost(mostRows(), 2 * keys.length + 65)
      })
    )
  )

  it.live("whatever happens to the table, in whatever order", () =>
    onSession(({ database, learn, read, unseen }) =>
      Effect.gen(function* () {
        const any = (key: string) => (key < "e" ? "left" : "right")
        const step = fc.oneof(
          fc.record({
            do: fc.constantFrom("write", "erase", "learn", "touch", "rewind"),
            key: fc.constantFrom(..."abcdefghxy")
          }),
          fc.record({ do: fc.constantFrom("truncate", "read", "read"), key: fc.constant("") })
        )
        const apply = (what: string, key: string, value: number): Effect.Effect<unknown, unknown> => {
          switch (what) {
            case "write":
              return database.write(any(key), key, value % 3)
            case "erase":
              return database.erase(any(key), key)
            case "learn":
              return key > "h" ? Effect.void : learn(key)
            case "touch":
              return database.run(`UPDATE systemplane_entries SET updated_by = '${value}' WHERE key = '${key}'`)
            case "rewind":
              return unseen(
                `UPDATE systemplane_entries SET value = '${value}', revision = revision - ${value % 2} WHERE key = '${key}'`
              )
            case "truncate":
              return value % 4 === 0 ? database.run("TRUNCATE systemplane_entries") : Effect.void
            default:
              return read
          }
        }
        for (const [value, next] of fc.sample(step, { numRuns: 400, seed: 7 }).entries()) {
          yield* apply(next.do, next.key, value)
        }
        yield* read
      })
    )
  )
})
