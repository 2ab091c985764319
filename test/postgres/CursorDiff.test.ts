import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as CursorChecker from "../../dev/CursorChecker.ts"
import * as PgCursorRead from "../../src/layers/postgres/diff/PgCursorRead.ts"
import * as PgDiff from "../../src/layers/postgres/diff/PgDiff.ts"
import * as PgUnrecorded from "../../src/layers/postgres/diff/PgUnrecorded.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"

const a = { namespace: "n", key: "a" }
const b = { namespace: "n", key: "b" }
const keys = [a, b]

const prepared = Effect.tap(TestDatabase.make, Catalog.prepare)

const check = (transactions: number, variant: CursorChecker.Variant) =>
  Effect.flatMap(prepared, ({ name, url }) =>
    Effect.promise(() => CursorChecker.check({ url: Redacted.value(url), database: name, transactions, variant }))
  )

/** The diff of one session, and the statements that it sent. */
const follow = Effect.fnUntraced(function* (database: TestDatabase.TestDatabase, lasting = Number.POSITIVE_INFINITY) {
  const statements: Array<string> = []
  let received = 0
  let mismatches = 0
  const session = yield* TestDatabase.connect(database.url)
  const { diff, heard } = PgDiff.onSession(
    (sql, parameters) => {
      statements.push(sql)
      return Effect.tap(session.run(sql, parameters), (rows) =>
        Effect.sync(() => {
          for (const { value } of rows) if (typeof value === "string") received += value.length
        })
      )
    },
    undefined,
    { lasting, onMismatch: () => mismatches++ }
  )
  const known: Array<bigint | undefined> = [undefined, undefined]
  return {
    heard,
    /** How long the values are that the server sent, all together. */
    received: () => received,
    /** What differs, as values by slot, by which statements. */
    read: Effect.gen(function* () {
      statements.length = 0
      // The server orders them as it likes.
      const found = [...(yield* diff(keys, [...known]))].sort((a, b) => a.slot - b.slot)
      for (const { row, slot } of found) known[slot] = row?.fingerprint
      const sent = statements
        .filter((sql) => sql !== PgUnrecorded.selectUnrecorded)
        .map((sql) => (sql === PgCursorRead.selectSince ? "since" : "whole"))
      return { found: found.map(({ row, slot }) => [slot, row?.value]), sent }
    }),
    /** How often it found what no record tells of. */
    mismatches: () => mismatches,
    forget: (slot: number) => {
      known[slot] = undefined
    }
  }
})

const withoutTriggers = (database: TestDatabase.TestDatabase, sql: string) =>
  Catalog.withoutTriggers(database, Effect.asVoid(database.run(sql)))

layer(Layer.empty, { excludeTestServices: true })("a read of what changed", (it) => {
  it.effect(
    "G1, G9, G16: equals the table after every read, and each change is recorded once, whatever eight writers do",
    () =>
      Effect.gen(function* () {
        const { byCursor, differences, gaps, reads, records } = yield* check(400, "right")
        assert.strictEqual(differences, 0)
        assert.isAbove(records, 400)
        assert.strictEqual(gaps, 0, "the history, replayed, is the table")
        assert.isAbove(byCursor, 10)
        assert.isAtLeast(reads, byCursor)
      })
  )

  for (const variant of ["newestId", "withoutRunning", "laterSnapshot"] as const) {
    it.effect(`the check of it finds what a wrong read loses: ${variant}`, () =>
      Effect.map(check(5_000, variant), ({ differences }) => assert.isAbove(differences, 0))
    )
  }

  it.effect("the replay of the history finds what a missing trigger leaves out", () =>
    Effect.gen(function* () {
      const database = yield* prepared
      yield* database.write("n", "a", 1)
      yield* database.write("n", "a", 2)
      const gaps = Effect.map(database.run(CursorChecker.selectGaps), ([found]) => found.gaps)
      assert.strictEqual(yield* gaps, 0)
      yield* database.run("DROP TRIGGER systemplane_record_update_trigger ON systemplane_entries")
      yield* database.write("n", "a", 3)
      assert.strictEqual(yield* gaps, 1)
    })
  )

  it.effect("a read of what changed costs as much as changed", () =>
    Effect.gen(function* () {
      const database = yield* prepared
      const feed = yield* follow(database)
      yield* database.write("n", "a", 1)
      assert.deepStrictEqual(yield* feed.read, { found: [[0, 1]], sent: ["whole"] })
      assert.deepStrictEqual(yield* feed.read, { found: [], sent: ["since"] })
      yield* database.write("n", "b", 2)
      yield* database.erase("n", "a")
      feed.heard(keys)
      assert.deepStrictEqual(yield* feed.read, {
        found: [
          [0, undefined],
          [1, 2]
        ],
        sent: ["since"]
      })
      // Before its notification arrives: once more, with the name of the key.
      yield* database.write("n", "b", 3)
      assert.deepStrictEqual(yield* feed.read, { found: [[1, 3]], sent: ["since", "since"] })
      assert.deepStrictEqual(yield* feed.read, { found: [], sent: ["since"] })
    })
  )

  it.effect(
    "a read of what changed reads what is known otherwise than it was seen, though nothing changed: its answer was not learned",
    () =>
      Effect.gen(function* () {
        const database = yield* prepared
        const feed = yield* follow(database)
        yield* database.write("n", "a", 1)
        yield* feed.read
        feed.forget(0)
        assert.deepStrictEqual(yield* feed.read, { found: [[0, 1]], sent: ["since"] })
      })
  )

  it.effect("G1: what no trigger recorded is found by the name that a notification gave, or by verification", () =>
    Effect.gen(function* () {
      const database = yield* prepared
      yield* database.write("n", "a", 1)
      yield* database.write("n", "b", 1)
      const feed = yield* follow(database)
      yield* feed.read
      yield* database.run("UPDATE systemplane_entries SET updated_by = 'someone else' WHERE key = 'a'")
      assert.deepStrictEqual((yield* feed.read).found, [])
      feed.heard([a])
      assert.deepStrictEqual(yield* feed.read, { found: [[0, 1]], sent: ["since"] })

      const verifying = yield* follow(database, 0)
      yield* verifying.read
      assert.deepStrictEqual(yield* verifying.read, { found: [], sent: ["since"] })
      yield* withoutTriggers(database, "UPDATE systemplane_entries SET value = '7' WHERE key = 'b'")
      assert.deepStrictEqual(yield* verifying.read, { found: [[1, 7]], sent: ["since", "whole"] })
      yield* withoutTriggers(database, "DELETE FROM systemplane_entries WHERE key = 'b'")
      assert.deepStrictEqual(yield* verifying.read, { found: [[1, undefined]], sent: ["since", "whole"] })
      assert.deepStrictEqual(yield* verifying.read, { found: [], sent: ["since"] })
    })
  )

  it.effect("G16: what has no record is found by the next verification, also if it was read before", () =>
    Effect.gen(function* () {
      const database = yield* prepared
      const others = Effect.forEach(["a", "b"], (key) => database.write("n", key, 1))
      const unrecorded = {
        "changed before the session": "UPDATE systemplane_entries SET value = '7' WHERE key = 'a'",
        "deleted before the session": "DELETE FROM systemplane_entries WHERE key = 'b'",
        "a key that was not declared":
          "INSERT INTO systemplane_entries (namespace, key, value, revision) VALUES ('n', 'c', '1', 7)"
      }
      yield* others
      for (const [name, sql] of Object.entries(unrecorded)) {
        yield* withoutTriggers(database, sql)
        const feed = yield* follow(database, 0)
        yield* feed.read
        assert.strictEqual(feed.mismatches(), 0)
        yield* feed.read
        assert.strictEqual(feed.mismatches(), 1, name)
        yield* database.run("DELETE FROM systemplane_entries WHERE key = 'c'")
        yield* others
        feed.heard([...keys, { namespace: "n", key: "c" }])
        yield* feed.read
        yield* feed.read
        assert.strictEqual(feed.mismatches(), 1, `${name}, once it was recorded`)
      }
      const feed = yield* follow(database, 0)
      yield* feed.read
      yield* feed.read
      const absorbed = {
        "named by a notification": Effect.sync(() => feed.heard([a])),
        "known from a write of this process": Effect.sync(() => feed.forget(0)),
        "after a change that is recorded": database.write("n", "a", 2)
      }
      for (const [i, [name, how]] of Object.entries(absorbed).entries()) {
        yield* how
        yield* withoutTriggers(database, `UPDATE systemplane_entries SET value = '${i + 10}' WHERE key = 'a'`)
        assert.deepStrictEqual((yield* feed.read).found, [[0, i + 10]], name)
        yield* feed.read
        assert.strictEqual(feed.mismatches(), i + 1, name)
        yield* database.write("n", "a", 1)
        yield* feed.read
        yield* feed.read
      }
    })
  )

  it.effect("more than 1,000 changed keys are read as a whole", () =>
    Effect.gen(function* () {
      const database = yield* prepared
      const feed = yield* follow(database)
      yield* database.write("n", "a", 1)
      yield* feed.read
      yield* database.run(
        `INSERT INTO systemplane_entries (namespace, key, value) SELECT 'n', 'other ' || i, '1' FROM generate_series(1, 1001) AS i`
      )
      yield* database.write("n", "a", 2)
      const { found, sent } = yield* feed.read
      assert.deepStrictEqual(found, [[0, 2]])
      assert.deepStrictEqual(sent.slice(0, 2), ["since", "whole"])
    })
  )

  it.effect("ids that a dump brought along cost nothing and hide nothing", () =>
    Effect.gen(function* () {
      const database = yield* prepared
      yield* database.write("n", "a", 1)
      // A restored history bears the transaction ids of another server.
      yield* withoutTriggers(database, "UPDATE systemplane_history SET transaction_id = '999999999999'")
      const feed = yield* follow(database)
      yield* feed.read
      assert.deepStrictEqual(yield* feed.read, { found: [], sent: ["since"] })
      yield* database.write("n", "a", 2)
      feed.heard([a])
      assert.deepStrictEqual(yield* feed.read, { found: [[0, 2]], sent: ["since"] })
    })
  )

  it.effect("G6: what an undeclared key holds is never sent by the server, whichever statement meets its row", () =>
    Effect.gen(function* () {
      const database = yield* prepared
      const others = [..."0123456789"].map((i) => ({ namespace: "n", key: `x${i}` }))
      const spoil = (value: string) =>
        database.run(
          `INSERT INTO systemplane_entries (namespace, key, value) SELECT 'n', 'x' || i, to_jsonb(repeat($1, 100000)) FROM generate_series(0, 9) AS i
         ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value`,
          [value]
        )
      const lasting = yield* follow(database)
      const verifying = yield* follow(database, 0)
      for (const history of [true, false]) {
        // Without a history the digest is compared.
        if (!history) yield* database.run("DROP TABLE systemplane_history CASCADE")
        const feeds = history ? [lasting, verifying] : [yield* follow(database)]
        for (const feed of feeds) yield* feed.read
        for (const [i, heard] of [true, false].entries()) {
          const value = `${history} ${i}`
          yield* spoil(value)
          yield* database.write("n", "a", value)
          for (const feed of feeds) {
            if (heard) feed.heard([...others, a])
            assert.deepStrictEqual((yield* feed.read).found, [[0, value]])
          }
          yield* withoutTriggers(
            database,
            "UPDATE systemplane_entries SET updated_by = 'x' || random() WHERE key <> 'a'"
          )
          for (const feed of feeds) assert.deepStrictEqual((yield* feed.read).found, [])
        }
        yield* database.erase("n", "a")
        for (const feed of feeds) assert.isBelow(feed.received(), 1_000)
      }
    })
  )
})
