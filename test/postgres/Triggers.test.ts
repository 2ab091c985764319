import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { TestDatabase } from "../support/TestDatabase.ts"
import * as TestDatabases from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"

/** Runs a test on a database that a migration pipeline prepared. */
const onPreparedDatabase = <A, E>(test: (database: TestDatabase) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const database = yield* TestDatabases.make
    yield* Catalog.prepare(database)
    return yield* test(database)
  }).pipe(Effect.scoped)

const revisionOf = (database: TestDatabase) =>
  Effect.map(Catalog.rows(database), ([row]): number => {
    assert.isDefined(row)
    return row.revision
  })

describe("revisions", () => {
  it.live("revisions are drawn on insert and whenever the value changes", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const inserted = yield* database.write("texts", "greeting", "hello")
        const changed = yield* database.write("texts", "greeting", "good day")
        assert.isAbove(inserted, 0)
        assert.isAbove(changed, inserted)
      })
    )
  )

  it.live("revisions stay if the value is identical, however it is spelled", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const drawn = yield* database.write("features", "checkout", { enabled: true, percent: 1 })
        assert.strictEqual(yield* database.write("features", "checkout", { percent: 1.0, enabled: true }), drawn)
        yield* database.run("UPDATE systemplane_entries SET updated_by = 'somebody else', updated_at = now()")
        assert.strictEqual(yield* revisionOf(database), drawn)
      })
    )
  )

  it.live("revisions cannot be chosen by the writer", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run(
          "INSERT INTO systemplane_entries (namespace, key, value, revision) VALUES ('texts', 'greeting', '1', 1000)"
        )
        const drawn = yield* revisionOf(database)
        assert.isBelow(drawn, 1000)
        yield* database.run("UPDATE systemplane_entries SET revision = 2000")
        assert.strictEqual(yield* revisionOf(database), drawn)
        yield* database.run("UPDATE systemplane_entries SET value = '2', revision = 2000")
        const changed = yield* revisionOf(database)
        assert.isTrue(drawn < changed && changed < 1000)
      })
    )
  )

  it.live("the revisions of a key that is created again are above every revision it had", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.write("texts", "greeting", "hello")
        const last = yield* database.write("texts", "greeting", "good day")
        yield* database.erase("texts", "greeting")
        assert.isAbove(yield* database.write("texts", "greeting", "hello"), last)
      })
    )
  )

  it.live("G15: revisions are drawn for a role that has no right on the sequence", () =>
    Effect.gen(function* () {
      const role = yield* TestDatabases.makeRole
      const database = yield* TestDatabases.make
      yield* Catalog.prepare(database)
      yield* database.run(`GRANT SELECT, INSERT, UPDATE ON systemplane_entries TO ${role.user}`)
      const rights = yield* database.run(
        "SELECT has_sequence_privilege($1, 'systemplane_revision_seq', 'USAGE, SELECT, UPDATE') AS any",
        [role.user]
      )
      assert.deepStrictEqual(rights, [{ any: false }])

      const stranger = yield* TestDatabases.asRole(database, role)
      yield* stranger.run("INSERT INTO systemplane_entries (namespace, key, value) VALUES ('texts', 'greeting', '1')")
      const inserted = yield* revisionOf(database)
      yield* stranger.run("UPDATE systemplane_entries SET value = '2'")
      assert.isAbove(yield* revisionOf(database), inserted)
    }).pipe(Effect.scoped)
  )

  it.live("G15: revisions are not drawn from a sequence that the writer put in front", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run("CREATE SCHEMA decoy")
        yield* database.run("CREATE SEQUENCE decoy.systemplane_revision_seq START 5000")
        yield* database.transaction(
          Effect.gen(function* () {
            yield* database.run("SET LOCAL search_path = decoy, public")
            yield* database.write("texts", "greeting", "hello")
          })
        )
        assert.isBelow(yield* revisionOf(database), 5000)
      })
    )
  )
})

/** What may be done to a sequence while others write, and how many writes are refused for it. */
const disorders = [
  { alter: "ALTER SEQUENCE systemplane_revision_seq MINVALUE 1 MAXVALUE 100000 CYCLE RESTART WITH 99996", refused: 2 },
  { alter: "ALTER SEQUENCE systemplane_revision_seq CACHE 50" },
  { alter: "SELECT setval('systemplane_revision_seq', 1)" },
  { alter: "ALTER SEQUENCE systemplane_revision_seq RESTART" },
  { alter: "SELECT setval('systemplane_revision_seq', 9007199254740990)" },
  { alter: "ALTER SEQUENCE systemplane_revision_seq INCREMENT BY -1", refused: 4 },
  { alter: "ALTER SEQUENCE systemplane_history_id_seq CACHE 50" },
  { alter: "ALTER SEQUENCE systemplane_history_id_seq INCREMENT BY -1", refused: 4 },
  { alter: "SELECT setval('systemplane_revision_seq', 2251799813685248 - 3)" }
]

describe("a sequence that is altered while processes write", () => {
  it.live("G2: revisions and records only go up: the draw is corrected, or refused with what mends it", () =>
    onPreparedDatabase((database) =>
      Effect.scoped(
        Effect.gen(function* () {
          const sessions = [yield* TestDatabases.connect(database.url), yield* TestDatabases.connect(database.url)]
          const write = (value: number) =>
            Catalog.query(sessions[value % 2]!)(
              `INSERT INTO systemplane_entries (namespace, key, value) VALUES ('a', 'b', '${value}')
               ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value RETURNING revision::float8 AS revision`,
              []
            ).pipe(Effect.map(([row]: ReadonlyArray<any>) => Number(row.revision)))
          let value = 0
          let last = 0
          for (const { alter, refused = 0 } of disorders) {
            yield* write(++value)
            yield* write(++value)
            last = yield* revisionOf(database)
            yield* database.run(alter)
            let refusals = 0
            for (let turn = 0; turn < 4; turn++) {
              const revision = yield* Effect.catch(write(++value), ({ reason }: SqlError) => {
                refusals++
                assert.strictEqual((reason.cause as { code?: string }).code, "42P17", alter)
                return Effect.undefined
              })
              if (revision === undefined) continue
              assert.isAbove(revision, last, alter)
              assert.isTrue(Number.isSafeInteger(revision), alter)
              last = revision
            }
            assert.strictEqual(refusals, refused, alter)
            yield* Catalog.prepare(database)
          }
          const [disorder] = yield* database.run(
            `SELECT count(*)::int AS records FROM (SELECT revision, lag(revision) OVER (ORDER BY id) AS before FROM systemplane_history) AS h
             WHERE revision <= before`
          )
          assert.deepStrictEqual(disorder, { records: 0 })
        })
      )
    )
  )

  it.live("G2: a writer that waits for who restarts a sequence draws above the rows for which that waited", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const [owner, other] = [yield* TestDatabases.connect(database.url), yield* TestDatabases.connect(database.url)]
        const waiting = (count: number) =>
          TestDatabases.eventually(
            `${count} wait for the sequence`,
            Effect.map(
              database.run(
                `SELECT FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation AND c.relkind = 'S' WHERE NOT l.granted
                 AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())`
              ),
              (locks) => locks.length === count
            )
          )
        for (const [key, sequence] of ["systemplane_revision_seq", "systemplane_history_id_seq"].entries()) {
          const waited = yield* database.transaction(
            Effect.gen(function* () {
              yield* database.write("first", `${key}`, 1)
              const restart = yield* Effect.forkChild(owner.run(`ALTER SEQUENCE ${sequence} RESTART WITH 1`))
              yield* waiting(1)
              const write = yield* Effect.forkChild(
                other.run(`INSERT INTO systemplane_entries (namespace, key, value) VALUES ('second', '${key}', '1')`)
              )
              yield* waiting(2)
              return [restart, write]
            })
          )
          yield* Effect.forEach(waited, Fiber.join)
        }
        const records = yield* database.run("SELECT id::int, revision::int FROM systemplane_history ORDER BY id")
        assert.deepStrictEqual(
          records,
          [1, 2, 3, 4].map((n) => ({ id: n, revision: n }))
        )
        // Who sets one waits for no writer, and the next one does not see what those have drawn.
        yield* database.transaction(
          Effect.gen(function* () {
            yield* database.write("first", "set", 1)
            yield* owner.run("SELECT setval('systemplane_revision_seq', 3000000000000000)")
            yield* other.run("INSERT INTO systemplane_entries (namespace, key, value) VALUES ('second', 'set', '1')")
          })
        )
        const [{ drawn }] = yield* database.run(
          "SELECT count(DISTINCT revision)::int AS drawn FROM systemplane_history"
        )
        assert.strictEqual(drawn, 6)
      }).pipe(Effect.scoped)
    )
  )

  it.live("G2: a row that was copied from another database and deleted again takes no revision along", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run("DROP TABLE systemplane_history CASCADE")
        for (const end of ["DELETE FROM systemplane_entries", "TRUNCATE systemplane_entries"]) {
          const copied = (yield* database.write("a", "b", end)) + 500
          yield* Catalog.withoutTriggers(database, database.run(`UPDATE systemplane_entries SET revision = ${copied}`))
          yield* database.run(end)
          assert.isAbove(yield* database.write("a", "b", 1), copied, end)
        }
        // Nor for a transaction that does not see that it was there.
        const other = yield* TestDatabases.connect(database.url)
        const anew = yield* database.transaction(
          Effect.gen(function* () {
            yield* database.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield* database.run("SELECT FROM systemplane_entries")
            yield* Catalog.withoutTriggers(other, other.run("UPDATE systemplane_entries SET revision = 9000"))
            yield* other.run("DELETE FROM systemplane_entries")
            return yield* database.write("a", "b", 2)
          })
        )
        assert.isAbove(anew, 9000)
      }).pipe(Effect.scoped)
    )
  )
})

describe("updated_by", () => {
  it.live("G16: updated_by is the writer's own word, or who changed the value: never the writer before", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const [{ me }] = yield* database.run("SELECT session_user::text AS me")
        const upsert = (update: string) =>
          `INSERT INTO systemplane_entries AS e (namespace, key, value, updated_by) VALUES ('a', 'b', '1', 'ada')
           ON CONFLICT (namespace, key) DO UPDATE SET value = to_jsonb(e.value::int + 1)${update}`
        const update = (set: string) => `UPDATE systemplane_entries SET value = to_jsonb(value::int + 1)${set}`
        for (const [sql, by] of [
          [update(""), me],
          [update(", updated_at = now()"), me],
          [update(", updated_by = 'ada'"), "ada"],
          [update(", updated_at = now(), updated_by = updated_by"), "ada"],
          [upsert(""), me],
          [upsert(", updated_at = excluded.updated_at"), me],
          [upsert(", updated_by = excluded.updated_by"), "ada"]
        ] as const) {
          yield* database.run(upsert(", updated_by = excluded.updated_by"))
          // What one statement named, the next of its transaction did not.
          yield* database.transaction(
            Effect.andThen(
              database.run("UPDATE systemplane_entries SET updated_by = 'ada' WHERE key = 'b'"),
              database.run(sql)
            )
          )
          const [row] = yield* database.run(
            `SELECT e.updated_by, h.changed_by FROM systemplane_entries AS e
             JOIN systemplane_history AS h ON h.key = e.key AND h.revision = e.revision`
          )
          assert.deepStrictEqual(row, { updated_by: by, changed_by: by }, sql)
        }
        const of = (key: string, set = "") =>
          `UPDATE systemplane_entries SET value = to_jsonb(random())${set} WHERE key = '${key}'`
        const [named, unnamed] = [of("a", ", updated_by = 'ada'"), of("b")]
        const inTrigger = (outer: string, inner: string) =>
          `DO $do$ BEGIN
           CREATE FUNCTION pg_temp.also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF pg_trigger_depth() = 1 THEN ${inner}; END IF;
             RETURN NEW;
           END $$;
           CREATE TRIGGER also BEFORE UPDATE ON systemplane_entries FOR EACH ROW EXECUTE FUNCTION pg_temp.also();
           ${outer};
           DROP TRIGGER also ON systemplane_entries;
           DROP FUNCTION pg_temp.also();
           END $do$`
        for (const sql of [
          `WITH also AS (${named} RETURNING true) ${unnamed} AND EXISTS (SELECT FROM also)`,
          `WITH also AS (${unnamed} RETURNING true) ${named} AND EXISTS (SELECT FROM also)`,
          inTrigger(named, unnamed),
          inTrigger(unnamed, named)
        ]) {
          yield* database.run(
            `INSERT INTO systemplane_entries (namespace, key, value, updated_by) VALUES ('a', 'a', '1', 'ada'), ('a', 'b', '1', 'ada')
             ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by`
          )
          yield* database.run(sql)
          assert.deepStrictEqual(
            yield* database.run("SELECT key, updated_by FROM systemplane_entries ORDER BY key"),
            [
              { key: "a", updated_by: "ada" },
              { key: "b", updated_by: me }
            ],
            sql
          )
        }
      })
    )
  )
})

describe("updated_at", () => {
  it.live("updated_at moves with the value, unless a statement sets it", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const updatedAt = Effect.map(
          database.run("SELECT extract(year FROM updated_at)::int AS year FROM systemplane_entries"),
          ([row]): number => row.year
        )
        yield* database.run(
          "INSERT INTO systemplane_entries (namespace, key, value, updated_at) VALUES ('a', 'b', '1', '2001-01-01')"
        )
        assert.strictEqual(yield* updatedAt, 2001)
        yield* database.run("UPDATE systemplane_entries SET value = '2', updated_at = '2002-01-01'")
        assert.strictEqual(yield* updatedAt, 2002)
        yield* database.run("UPDATE systemplane_entries SET value = '3'")
        assert.isAbove(yield* updatedAt, 2020)
      })
    )
  )
})

describe("notifications", () => {
  it.live("G14: notifications name the key, the operation and the revision, and never a value", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const notifications = yield* Catalog.listen(database)
        const inserted = yield* database.write("secrets", "api-key", "canary-1")
        const changed = yield* database.write("secrets", "api-key", "canary-2")
        yield* database.erase("secrets", "api-key")

        const payloads = yield* notifications
        const names = { namespace: "secrets", key: "api-key" }
        assert.deepStrictEqual(
          payloads.map((payload) => JSON.parse(payload)),
          [
            { ...names, op: "upsert", revision: inserted },
            { ...names, op: "upsert", revision: changed },
            { ...names, op: "delete", revision: 0 }
          ]
        )
      }).pipe(Effect.scoped)
    )
  )

  it.live("notifications are not sent for an update that changes nothing, but are for one that changes who wrote", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const revision = yield* database.write("texts", "greeting", "hello")
        const notifications = yield* Catalog.listen(database)
        yield* database.run("UPDATE systemplane_entries SET value = value, updated_by = updated_by")
        assert.deepStrictEqual(yield* notifications, [])
        yield* database.run("UPDATE systemplane_entries SET updated_by = 'somebody else'")
        assert.deepStrictEqual(
          (yield* notifications).map((payload) => JSON.parse(payload).revision),
          [revision]
        )
      }).pipe(Effect.scoped)
    )
  )

  it.live("notifications wait for the commit, and are not sent for what is rolled back", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const notifications = yield* Catalog.listen(database)
        yield* database
          .transaction(Effect.andThen(database.write("texts", "greeting", "rolled back"), Effect.die("roll back")))
          .pipe(Effect.exit)
        assert.deepStrictEqual(yield* Catalog.rows(database), [])
        assert.deepStrictEqual(yield* notifications, [])
      }).pipe(Effect.scoped)
    )
  )

  it.live("notifications fit for the longest names there can be, in the widest characters", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const notifications = yield* Catalog.listen(database)
        // A control character takes six bytes as JSON; one beyond the basic plane takes four.
        for (const name of ["\u0001".repeat(255), "\u{1F41F}".repeat(255)]) {
          const revision = yield* database.write(name, name, 1)
          assert.deepStrictEqual(
            (yield* notifications).map((payload) => JSON.parse(payload)),
            [{ namespace: name, key: name, op: "upsert", revision }]
          )
        }
      }).pipe(Effect.scoped)
    )
  )

  it.live("notifications are sent for names that are longer than a key's, as far as a payload goes", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const notifications = yield* Catalog.listen(database)
        const name = "\u{1F41F}".repeat(300)
        const revision = yield* database.write(name, name, 1)
        yield* database.erase(name, name)
        assert.deepStrictEqual(
          (yield* notifications).map((payload) => JSON.parse(payload).revision),
          [revision, 0]
        )
      }).pipe(Effect.scoped)
    )
  )

  it.live("notifications are left out for names that no payload can hold, and the write succeeds all the same", () =>
    onPreparedDatabase((database) =>
      Effect.gen(function* () {
        const notifications = yield* Catalog.listen(database)
        const name = "\u0001".repeat(1200)
        assert.isAbove(yield* database.write(name, name, 1), 0)
        assert.isAbove(yield* database.write(name, name, 2), 1)
        yield* database.erase(name, name)
        assert.deepStrictEqual(yield* Catalog.rows(database), [])
        assert.deepStrictEqual(yield* notifications, [])
      }).pipe(Effect.scoped)
    )
  )
})
