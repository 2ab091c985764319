/** What the triggers record of changes that plain SQL makes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, type Scope } from "effect"
import * as SeedMark from "../../src/schema/SeedMark.ts"
import type { Stranger, TestDatabase } from "../support/TestDatabase.ts"
import * as TestDatabases from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"

const onPreparedDatabase = <A>(test: (database: TestDatabase) => Effect.Effect<A, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const database = yield* TestDatabases.make
    yield* Catalog.prepare(database)
    return yield* test(database)
  }).pipe(Effect.scoped)

const records = (database: TestDatabase) =>
  database.run(
    "SELECT key, operation, previous_value AS before, value, changed_by AS by FROM systemplane_history ORDER BY id"
  )

const insert = "INSERT INTO systemplane_entries (namespace, key, value, updated_by)"

describe("the history", () => {
  it.live("G16: a COPY-like insert, an update, a rename and a delete are recorded once, as one change each", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.transaction(
          Effect.gen(function* () {
            yield* database.run(`${insert} SELECT 'n', 'k' || i, to_jsonb(i), 'ada' FROM generate_series(1, 3) AS i`)
            yield* database.run("UPDATE systemplane_entries SET value = '9' WHERE key = 'k1'")
            yield* database.run("UPDATE systemplane_entries SET key = 'k4' WHERE key = 'k2'")
            yield* database.run("DELETE FROM systemplane_entries WHERE key = 'k3'")
          })
        )
        assert.deepStrictEqual(
          (yield* records(database)).map(({ before, key, operation, value }) => [operation, key, before, value]),
          [
            ["create", "k1", null, 1],
            ["create", "k2", null, 2],
            ["create", "k3", null, 3],
            ["update", "k1", 1, 9],
            ["delete", "k2", 2, null],
            ["create", "k4", null, 2],
            ["delete", "k3", 3, null]
          ]
        )
        const [{ changes }] = yield* database.run(
          "SELECT count(DISTINCT change_id)::int AS changes FROM systemplane_history"
        )
        assert.strictEqual(changes, 1)
        // Also if a role asks for a verification in the statement that changes them.
        for (const change of [
          "UPDATE systemplane_entries SET value = '10' WHERE key = 'k1'",
          "DELETE FROM systemplane_entries WHERE key = 'k4'",
          `${insert} VALUES ('n', 'k5', '5', 'ada')`
        ]) {
          yield* database.transaction(
            Effect.andThen(
              database.run("SELECT set_config('systemplane.verify', 'on', true)"),
              database.run(
                `WITH changed AS (${change} RETURNING key), none AS (DELETE FROM systemplane_entries WHERE false RETURNING key)
                 SELECT FROM changed, none`
              )
            )
          )
        }
        assert.deepStrictEqual(
          (yield* records(database)).slice(7).map(({ key, operation }) => [operation, key]),
          [
            ["update", "k1"],
            ["delete", "k4"],
            ["create", "k5"]
          ]
        )

        // The records of a dump whose entries were restored, and recorded, before them.
        const restore = (id: number) =>
          Effect.exit(
            database.run(
              `INSERT INTO systemplane_history (id, namespace, key, operation, revision, value, changed_at, changed_by, change_id)
               VALUES (${id}, 'n', 'k1', 'create', 1, '1', '2020-01-01', 'ada', gen_random_uuid())`
            )
          )
        for (const id of [1, 2, 100]) assert.match(String(Exit.getCause(yield* restore(id))), /recorded them anew/)
        assert.isTrue(Exit.isSuccess(yield* restore(-1)), "one that was purged")
      })
    )
  )

  it.live("G16: a record names the role of a change by hand, and never the writer before", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run(`${insert} VALUES ('n', 'k', '1', 'ada')`)
        yield* database.run("UPDATE systemplane_entries SET value = '2'")
        const [row] = yield* database.run("SELECT updated_by AS by FROM systemplane_entries")
        assert.strictEqual(row.by, "postgres")
        assert.deepStrictEqual(
          (yield* records(database)).map(({ by }) => by),
          ["ada", "postgres"]
        )
      })
    )
  )

  it.live("the history leaves out an untouched seed; the first value over it is created", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run(`${insert} VALUES ('n', 'k', '1', ${SeedMark.seedMark("'1'::jsonb")})`)
        assert.deepStrictEqual(yield* records(database), [])
        yield* database.run(
          "UPDATE systemplane_entries SET value = '1', updated_by = 'ada', updated_at = clock_timestamp()"
        )
        assert.deepStrictEqual(yield* records(database), [
          { key: "k", operation: "create", before: null, value: 1, by: "ada" }
        ])
        const [{ revision }] = yield* database.run("SELECT revision::int FROM systemplane_entries")
        assert.strictEqual(revision, 2)
        // Nothing was before the deletion of a seed, so that taking it back brings nothing into being.
        yield* database.run(`${insert} VALUES ('n', 'seed', '1', ${SeedMark.seedMark("'1'::jsonb")})`)
        yield* database.run("DELETE FROM systemplane_entries WHERE key = 'seed'")
        const [last] = yield* database.run(
          "SELECT key, operation, previous_revision, previous_value, change_id FROM systemplane_history ORDER BY id DESC LIMIT 1"
        )
        assert.deepInclude(last, { key: "seed", operation: "delete", previous_revision: null, previous_value: null })
        yield* database.run("SELECT systemplane_revert($1::uuid)", [last.change_id])
        assert.deepStrictEqual(yield* database.run("SELECT key FROM systemplane_entries"), [{ key: "k" }])
      })
    )
  )

  it.live("G16: each row of a TRUNCATE is recorded and notified, and it is refused under REPEATABLE READ", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run(`${insert} SELECT 'n', 'k' || i, to_jsonb(i), 'ada' FROM generate_series(1, 3) AS i`)
        const refused = yield* Effect.exit(
          database.transaction(
            Effect.andThen(
              database.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
              database.run("TRUNCATE systemplane_entries")
            )
          )
        )
        assert.isTrue(Exit.isFailure(refused))
        const notifications = yield* Catalog.listen(database)
        yield* database.run("TRUNCATE systemplane_entries")
        assert.lengthOf(yield* notifications, 3)
        assert.lengthOf(
          (yield* records(database)).filter(({ operation }) => operation === "delete"),
          3
        )
      }).pipe(Effect.scoped)
    )
  )

  it.live(
    "G16: gets what was written with the triggers off as a record of its own, by a statement that touches no row",
    () =>
      onPreparedDatabase((database) =>
        Effect.gen(function* () {
          yield* database.run(`${insert} VALUES ('n', 'gone', '1', 'ada'), ('n', 'changed', '1', 'ada')`)
          yield* Catalog.withoutTriggers(
            database,
            Effect.gen(function* () {
              yield* database.run("DELETE FROM systemplane_entries WHERE key = 'gone'")
              yield* database.run("UPDATE systemplane_entries SET value = '2' WHERE key = 'changed'")
              yield* database.run(
                "INSERT INTO systemplane_entries (namespace, key, value, revision) VALUES ('n', 'new', '3', 70)"
              )
            })
          )
          const verify = database.transaction(
            Effect.andThen(
              database.run("SET LOCAL systemplane.verify = 'on'"),
              database.run("DELETE FROM systemplane_entries WHERE false")
            )
          )
          yield* verify
          yield* verify
          assert.deepStrictEqual(
            (yield* records(database))
              .slice(2)
              .map(({ by, key, operation }) => [key, operation, by])
              .sort(),
            [
              ["changed", "update", "unrecorded"],
              ["gone", "delete", "unrecorded"],
              ["new", "create", "unrecorded"]
            ]
          )
        })
      )
  )

  it.live("the history fails no write for lack of an id, of an equality, of a uuid, or of the history itself", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run("ALTER TABLE systemplane_entries ADD COLUMN note json, ADD COLUMN place point")
        yield* database.run(`${insert} VALUES ('n', 'k', '1', 'ada')`)
        yield* Catalog.withoutTriggers(database, database.run("UPDATE systemplane_history SET id = id + 50"))
        yield* database.run("ALTER SEQUENCE systemplane_history_id_seq RESTART WITH 50")
        yield* database.transaction(
          Effect.andThen(
            database.run("SELECT set_config('systemplane.change', 'no uuid', true)"),
            database.run("UPDATE systemplane_entries SET value = '2', note = '{}', place = '(1,2)'")
          )
        )
        yield* database.run("UPDATE systemplane_entries SET value = '3'")
        assert.lengthOf(yield* records(database), 3)
        yield* database.run("DROP TABLE systemplane_history CASCADE")
        yield* database.run("UPDATE systemplane_entries SET value = '4'")
      })
    )
  )

  it.live("G16: changes of a key are on record in their order: of one statement, and of what it fired", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run(`${insert} VALUES ('n', 'a', '1', 'ada'), ('n', 'b', '1', 'ada')`)
        yield* database.run(
          `WITH gone AS (DELETE FROM systemplane_entries WHERE key = 'a' RETURNING 1)
           UPDATE systemplane_entries SET key = 'a' FROM gone WHERE key = 'b'`
        )
        yield* database.run(
          `CREATE FUNCTION next() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
             IF NEW.value < '3' THEN
               UPDATE systemplane_entries SET value = to_jsonb(NEW.value::int + 1) WHERE key = NEW.key;
             ELSE
               DELETE FROM systemplane_entries WHERE key = NEW.key;
             END IF;
             RETURN NULL;
           END $$`
        )
        yield* database.run(
          "CREATE TRIGGER next AFTER INSERT OR UPDATE ON systemplane_entries FOR EACH ROW EXECUTE FUNCTION next()"
        )
        yield* database.run(`${insert} VALUES ('n', 'c', '1', 'ada')`)
        const ofKey = (name: string) =>
          Effect.map(records(database), (rows) =>
            rows.filter(({ key }) => key === name).map(({ before, operation, value }) => [operation, before, value])
          )
        assert.deepStrictEqual(yield* ofKey("a"), [
          ["create", null, 1],
          ["delete", 1, null],
          ["create", null, 1]
        ])
        assert.deepStrictEqual(yield* ofKey("c"), [
          ["create", null, 1],
          ["update", 1, 2],
          ["update", 2, 3],
          ["delete", 3, null]
        ])
      })
    )
  )

  it.live(
    "G16: no record has the value of a secret that was declared after the writer's snapshot, or the declarer's",
    () =>
      onPreparedDatabase((database) =>
        Effect.gen(function* () {
          const other = yield* TestDatabases.connect(database.url)
          const declare = (key: string) =>
            `INSERT INTO systemplane_keys (namespace, key, declared_by, secret) VALUES ('n', '${key}', 'app@1', true)`
          const write = (key: string) => `${insert} VALUES ('n', '${key}', '"canary"', 'ada')`
          const withSnapshot = (meanwhile: string, statement: string) =>
            Effect.exit(
              database.transaction(
                Effect.gen(function* () {
                  yield* database.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                  yield* database.run("SELECT FROM systemplane_entries")
                  yield* other.run(meanwhile)
                  yield* database.run(statement)
                })
              )
            )
          for (const [meanwhile, statement] of [
            [declare("inserted"), write("inserted")],
            [write("declared"), declare("declared")]
          ] as const) {
            assert.match(String(Exit.getCause(yield* withSnapshot(meanwhile, statement))), /could not serialize/)
            yield* database.run(statement)
          }
          assert.isTrue(Exit.isSuccess(yield* withSnapshot("SELECT", write("plain"))))
          assert.deepStrictEqual(
            (yield* records(database)).map(({ key, value }) => [key, value]),
            [
              ["inserted", null],
              ["declared", null],
              ["plain", "canary"]
            ]
          )
        })
      )
  )

  it.live("G16: a secret that is renamed stays one: no record has its value, then or later, under any name", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const update = (assignments: string) => database.run(`UPDATE systemplane_entries SET ${assignments}`)
        yield* database.run(
          `INSERT INTO systemplane_keys (namespace, key, declared_by, secret)
           SELECT 'n', key, 'app@1', true FROM unnest('{s, t, swapped}'::text[]) AS key`
        )
        yield* database.run("ALTER TABLE systemplane_entries DROP CONSTRAINT systemplane_entries_pkey")
        yield* database.run("ALTER TABLE systemplane_entries ADD UNIQUE (namespace, key) DEFERRABLE")
        yield* database.run(
          `${insert} SELECT 'n', key, '"canary"'::jsonb, 'ada' FROM unnest('{s, t, swapped}'::text[]) AS key
           UNION ALL SELECT 'n', key, '"plain"'::jsonb, 'ada' FROM unnest('{p, with}'::text[]) AS key`
        )
        yield* update("key = 'u' WHERE key = 's'")
        yield* update(
          "key = CASE key WHEN 'with' THEN 'swapped' ELSE 'with' END WHERE key = ANY (ARRAY['with', 'swapped'])"
        )
        yield* update("namespace = 'm' WHERE key IN ('t', 'p')")
        yield* update(`value = '"later"' WHERE value = '"canary"'`)
        const rows = yield* records(database)
        assert.notInclude(JSON.stringify(rows), "canary")
        assert.deepStrictEqual(
          rows.filter(({ key, value }) => key === "p" && value === "plain").map(({ operation }) => operation),
          ["create", "create"],
          "what is renamed in the same statement stays on record"
        )
      })
    )
  )

  it.live("G10: of two writes of different keys with one change id, the one that waits for the other is refused", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const other = yield* TestDatabases.connect(database.url)
        const write = (session: Stranger, key: string) =>
          session.transaction(
            Effect.andThen(
              session.run(
                `SELECT set_config('systemplane.once', 'on', true),
                   set_config('systemplane.change', '11111111-1111-4111-8111-111111111111', true)`
              ),
              session.run(`${insert} VALUES ('n', '${key}', '1', 'ada')`)
            )
          )
        const second = yield* database.transaction(
          Effect.gen(function* () {
            yield* write(database, "k1")
            const second = yield* Effect.forkChild(Effect.exit(write(other, "k2")))
            yield* TestDatabases.eventually(
              "the second write waits for the id",
              Effect.map(
                database.run(
                  `SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
                   WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted`
                ),
                (waiting) => waiting.length > 0
              )
            )
            return second
          })
        )
        assert.match(String(Exit.getCause(yield* Fiber.join(second))), /ChangeIdReused/)
        assert.lengthOf(yield* records(database), 1)
      })
    )
  )

  it.live("the history lets systemplane_revert take a change back whole, and only if nothing has changed since", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run("SELECT systemplane_set('n', 'k', '1', 'first')")
        yield* database.run("SELECT systemplane_set('n', 'k', '2', 'second')")
        const changes = yield* database.run("SELECT change_id AS id FROM systemplane_recent_changes")
        const undo = (id: string) => database.run("SELECT systemplane_revert($1::uuid, 'oops')::int AS keys", [id])
        assert.isTrue(Exit.isFailure(yield* Effect.exit(undo(changes[1].id))))
        assert.deepStrictEqual(yield* undo(changes[0].id), [{ keys: 1 }])
        const [row] = yield* database.run("SELECT value FROM systemplane_entries")
        assert.strictEqual(row.value, 1)
        const reasons = yield* database.run("SELECT reason FROM systemplane_recent_changes")
        assert.deepStrictEqual(
          reasons.map(({ reason }) => reason),
          ["oops", "second", "first"]
        )
      })
    )
  )
})
