/** Databases that older versions and other services left, and tables that cannot be served. */
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Redacted, type Scope } from "effect"
import {
  Config,
  Ddl,
  SchemaBootstrap,
  type SchemaBootstrapErrorReason,
  TenantManager,
  withTenant
} from "effect-systemplane"
import { versionOf } from "../../src/schema/ddl/DdlObjects.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as Catalog from "./Catalog.ts"
import * as OlderServices from "./OlderServices.ts"
import { acme, layer, onEmptyDatabase } from "./TestStore.ts"

const ensure = SchemaBootstrap.use((bootstrap) => bootstrap.ensure(acme))
const verify = SchemaBootstrap.use((bootstrap) => bootstrap.verify(acme))

const reasonOf = Effect.map(Effect.flip(verify), ({ reason }): SchemaBootstrapErrorReason => reason)

const scopedOnEmptyDatabase = <A, E>(
  test: (database: TestDatabase.TestDatabase) => Effect.Effect<A, E, SchemaBootstrap | Scope.Scope>
) => onEmptyDatabase((database) => Effect.scoped(test(database)))

const add = (key: string, value = "1") =>
  `INSERT INTO systemplane_entries (namespace, key, value, updated_by) VALUES ('a', '${key}', '${value}', 'ada')`

describe("a database that version 0.1 of this library prepared", () => {
  it.live("a database of version 0.1 is a warning to verify, and mended by ensure", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* OlderServices.version1(database)
        yield* database.run(add("k"))
        const { warnings } = yield* verify
        const text = warnings.join("\n")
        assert.include(text, "systemplane_entries_draw_revision is of an older version")
        assert.include(text, "table systemplane_history")
        assert.include(text, "Ddl.sql")

        yield* ensure
        assert.deepStrictEqual(yield* verify, { warnings: [] })
        assert.deepStrictEqual((yield* ensure).changed, [])
        const [baseline] = yield* database.run(
          "SELECT operation, value, changed_by, reason FROM systemplane_history WHERE key = 'k'"
        )
        assert.deepStrictEqual(baseline, { operation: "create", value: 1, changed_by: "ada", reason: "baseline" })
        const rights = yield* database.run(
          `SELECT proname FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a
           WHERE proname LIKE 'systemplane%' AND prosecdef AND a.grantee <> proowner`
        )
        assert.deepStrictEqual(rights, [])
      })
    )
  )

  it.live("a database of version 0.1 is served to a role that cannot mend it, with warnings", () =>
    Effect.gen(function* () {
      const role = yield* TestDatabase.makeRole
      const database = yield* TestDatabase.make
      yield* OlderServices.version1(database)
      yield* database.run(Ddl.grants(role.user))
      for (const bootstrap of ["ensure", "verify"] as const) {
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          yield* manager.activate("acme")
          const { warnings } = Option.getOrThrow(yield* manager.status("acme"))
          assert.include(warnings.join("\n"), "table systemplane_history")
          assert.deepStrictEqual((yield* manager.health).warnings, [{ tenant: acme, warnings }])
        }).pipe(
          Effect.provide(
            TestPlane.layer({ acme: { ...database, url: database.urlAs(role) } }, { tenants: [], bootstrap })
          )
        )
      }
    }).pipe(Effect.scoped)
  )
})

describe("what makes a prepared database unsafe is a warning of verify with what mends it, and is mended by ensure", () => {
  const unsafe: ReadonlyArray<readonly [what: string, sql: string, warning: string]> = [
    ["a right to execute", "GRANT EXECUTE ON FUNCTION systemplane_record_update() TO PUBLIC", "REVOKE ALL ON FUNCTION"],
    ["a path", "ALTER FUNCTION systemplane_entries_notify() SET search_path = public", "SET search_path = pg_catalog"],
    ["another setting", "ALTER FUNCTION systemplane_entries_notify() SET work_mem = '1MB'", "another search_path"],
    [
      "another owner",
      `DO $$ BEGIN
        ALTER FUNCTION systemplane_history_adopt() OWNER TO pg_monitor;
        ALTER SEQUENCE systemplane_revision_seq OWNER TO pg_monitor;
      END $$`,
      "Of another owner than systemplane_entries: sequence systemplane_revision_seq, systemplane_history_adopt; run Ddl.sql in the schema public as a superuser."
    ],
    ["rights of the owner", "ALTER FUNCTION systemplane_entries_notify() SECURITY DEFINER", "other rights"],
    ["no trigger of the history", "DROP TRIGGER systemplane_record_delete_trigger ON systemplane_entries", "Missing"],
    ["no guard", "ALTER TABLE systemplane_history DISABLE TRIGGER systemplane_history_keep_trigger", "does not fire"],
    [
      "listeners of a subscriber that hear nothing",
      "ALTER TABLE systemplane_entries ENABLE TRIGGER systemplane_notify_trigger",
      "is outdated"
    ],
    ["an unlogged table", "ALTER TABLE systemplane_entries SET UNLOGGED", "a crash empties systemplane_entries"],
    ["an unlogged history", "ALTER TABLE systemplane_history SET UNLOGGED", "a crash empties systemplane_history"],
    ["no history", "DROP TABLE systemplane_history CASCADE", "table systemplane_history"],
    ["no processes", "DROP TABLE systemplane_processes", "table systemplane_processes"]
  ]
  it.live("one after the other", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        for (const [what, sql, warning] of unsafe) {
          yield* database.run(sql)
          assert.include((yield* verify).warnings.join("\n"), warning, what)
          yield* database.run(add(what))
          assert.isNotEmpty((yield* ensure).changed, what)
          assert.deepStrictEqual(yield* verify, { warnings: [] }, what)
        }
      })
    )
  )
})

describe("objects of a newer version", () => {
  it("each function says which version changed it last: another body needs another version, and then another digest here", () => {
    const digests: Record<number, string> = {}
    for (const version of [2, 3]) {
      const bodies = Ddl.objects(true).flatMap((object) =>
        object.kind === "function" && versionOf(object.body) === version ? [`${object.name} ${object.body}`] : []
      )
      digests[version] = createHash("sha256").update(bodies.join("\n")).digest("hex").slice(0, 16)
    }
    assert.deepStrictEqual(digests, { 2: "cd8b758da8c21022", 3: "f6123609ed02a1d6" })
  })

  it.live(
    "objects of a newer version are left alone by ensure and by Ddl.sql, and accepted by verify; their rights are looked at all the same",
    () =>
      onEmptyDatabase((database) =>
        Effect.gen(function* () {
          yield* ensure
          const body = "-- effect-systemplane 3\nBEGIN RETURN NULL; END"
          yield* database.run(
            `CREATE OR REPLACE FUNCTION systemplane_entries_notify() RETURNS trigger LANGUAGE plpgsql
           SET search_path = pg_catalog, pg_temp AS '${body}'`
          )
          assert.deepStrictEqual(yield* verify, { warnings: [] })
          assert.deepStrictEqual((yield* ensure).changed, [])
          yield* database.run("GRANT EXECUTE ON FUNCTION systemplane_entries_notify() TO PUBLIC")
          assert.lengthOf((yield* verify).warnings, 1)
          yield* Catalog.prepare(database)
          assert.deepStrictEqual(yield* verify, { warnings: [] })
          const [{ prosrc }] = yield* database.run(
            "SELECT prosrc FROM pg_proc WHERE proname = 'systemplane_entries_notify'"
          )
          assert.strictEqual(prosrc, body)
        })
      )
  )
})

describe("a database that lib-systemplane prepared", () => {
  it.live(
    "a database that lib-systemplane prepared keeps triggers that notify on our channel; one with another channel as its argument is refused and replaced",
    () =>
      onEmptyDatabase((database) =>
        Effect.gen(function* () {
          yield* ensure
          yield* OlderServices.triggersV4(database)
          assert.deepStrictEqual((yield* ensure).changed, [])
          yield* database.run("DROP FUNCTION systemplane_notify_v4() CASCADE")
          yield* database.run("DROP FUNCTION systemplane_bump_revision_v4() CASCADE")
          yield* OlderServices.triggersV4(database, "other")
          assert.strictEqual((yield* reasonOf)._tag, "SchemaOutdated")
          assert.includeMembers([...(yield* ensure).changed], ["systemplane_notify_trigger"])
          assert.deepStrictEqual(yield* verify, { warnings: [] })
        })
      )
  )

  it.live("G16: lib-systemplane's history gets our columns, and each change is in it once", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* OlderServices.version1(database)
        yield* OlderServices.ownHistory(database)
        yield* database.run(add("old"))
        yield* ensure
        assert.deepStrictEqual(yield* verify, { warnings: [] })
        yield* database.transaction(
          Effect.gen(function* () {
            yield* database.run(add("k"))
            const returned = yield* database.run(
              `INSERT INTO systemplane_history (namespace, key, operation, revision, value, changed_by)
               SELECT namespace, key, 'update', revision, '666', 'forged' FROM systemplane_entries WHERE key = 'k' RETURNING id`
            )
            assert.lengthOf(returned, 1)
          })
        )
        const records = yield* database.run(
          "SELECT key, operation, value, changed_by, change_id IS NOT NULL AS grouped FROM systemplane_history ORDER BY id"
        )
        assert.deepStrictEqual(records, [
          { key: "old", operation: "create", value: 1, changed_by: "ada", grouped: true },
          { key: "k", operation: "create", value: 1, changed_by: "ada", grouped: true }
        ])
      })
    )
  )
})

const plain = "namespace text, key text, value jsonb, revision bigint, PRIMARY KEY (namespace, key)"

/** Tables under our names that cannot be served: what the script says of them, and the reason. */
const unsuitable = [
  [`CREATE TABLE systemplane_entries (${plain}) PARTITION BY LIST (namespace)`, "is partitioned", "Partitioned"],
  [
    `CREATE TABLE systemplane_entries (${plain}); CREATE TABLE parent () INHERITS (systemplane_entries)`,
    "is partitioned",
    "Partitioned"
  ],
  [
    `CREATE TABLE parent (${plain}); CREATE TABLE systemplane_entries () INHERITS (parent)`,
    "is partitioned",
    "Partitioned"
  ],
  ["CREATE TABLE systemplane_history (id bigint) PARTITION BY RANGE (id)", "systemplane_history is", "Partitioned"],
  [
    `CREATE TABLE systemplane_entries (${plain});
     CREATE RULE quiet AS ON UPDATE TO systemplane_entries DO INSTEAD NOTHING`,
    "rewrite rules",
    "HasRules"
  ]
] as const

describe("Ddl.sql", () => {
  it.live("Ddl.sql lets an older writer, who may use no sequence, insert between any two of its parts", () =>
    scopedOnEmptyDatabase((database) =>
      Effect.gen(function* () {
        const role = yield* TestDatabase.makeRole
        yield* OlderServices.tableWithoutRevision(database)
        yield* OlderServices.notifyV3(database)
        yield* database.run(`GRANT SELECT, INSERT, UPDATE ON systemplane_entries TO ${role.user}`)
        const writer = yield* TestDatabase.asRole(database, role)
        for (const [at, part] of Ddl.parts.entries()) {
          yield* writer.run(add(`before-${at}`))
          for (const statement of part.statements) yield* database.run(statement)
          yield* writer.run(`UPDATE systemplane_entries SET value = to_jsonb(${at} + 2)`)
        }
        assert.deepStrictEqual(yield* verify, { warnings: [] })
        const [{ known, rows }] = yield* database.run(
          `SELECT count(*)::int AS rows, count(*) FILTER (WHERE EXISTS (
             SELECT FROM systemplane_history AS h WHERE h.key = e.key AND h.revision = e.revision AND h.value = e.value
           ))::int AS known FROM systemplane_entries AS e`
        )
        assert.strictEqual(known, rows)
        yield* database.run(`DROP OWNED BY ${role.user}`)
      })
    )
  )

  it.live("Ddl.sql passes while another transaction holds the table for itself, if there is nothing to do", () =>
    scopedOnEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* Catalog.prepare(database)
        const other = yield* TestDatabase.connect(database.url)
        yield* database.transaction(
          Effect.gen(function* () {
            yield* database.run("LOCK TABLE systemplane_keys, systemplane_history IN ACCESS EXCLUSIVE MODE")
            yield* database.run("LOCK TABLE systemplane_entries IN SHARE ROW EXCLUSIVE MODE")
            yield* other.run(Ddl.sql)
          })
        )
      })
    )
  )

  it.live(
    "Ddl.sql refuses a second table in the search_path, what is no plain table, and the entries of many tenants, before it changes anything",
    () =>
      scopedOnEmptyDatabase((database) =>
        Effect.gen(function* () {
          const count = "SELECT count(*)::int AS n FROM pg_class WHERE relname LIKE 'systemplane%'"
          const refuses = (word: string) =>
            Effect.gen(function* () {
              const before = yield* database.run(count)
              const exit = yield* Effect.exit(database.run(Ddl.sql))
              assert.isTrue(Exit.isFailure(exit), word)
              assert.include(String((exit as Exit.Failure<never, never>).cause), word)
              assert.deepStrictEqual(yield* database.run(count), before)
            })
          yield* database.run("CREATE VIEW systemplane_entries AS SELECT 'a' AS namespace, 'b' AS key, 1 AS revision")
          yield* refuses("is not a table")
          assert.deepInclude(yield* reasonOf, { _tag: "TableUnsuitable", problem: "NotATable" })
          yield* database.run("DROP VIEW systemplane_entries")
          for (const [make, word, problem] of unsuitable) {
            yield* Catalog.runScript(database, make)
            yield* refuses(word)
            const expected = { _tag: "TableUnsuitable", problem } as const
            assert.deepInclude(yield* reasonOf, expected, make)
            assert.deepInclude((yield* Effect.flip(ensure)).reason, expected, make)
            yield* database.run("DROP TABLE IF EXISTS parent, systemplane_entries, systemplane_history CASCADE")
          }
          yield* database.run(
            "CREATE TABLE systemplane_entries (tenant_id text, namespace text, key text, value jsonb, PRIMARY KEY (tenant_id, namespace, key))"
          )
          yield* refuses("tenant_id")
          assert.deepInclude(yield* reasonOf, { _tag: "TableUnsuitable", problem: "ManyTenants" })
          const ensured = yield* Effect.flip(ensure)
          assert.deepInclude(ensured.reason, { _tag: "TableUnsuitable", problem: "ManyTenants" })
          yield* database.run("DROP TABLE systemplane_entries")
          yield* database.run("CREATE SCHEMA other")
          yield* OlderServices.tableWithoutRevision(database)
          yield* database.run("ALTER TABLE systemplane_entries SET SCHEMA other")
          const name = database.name
          yield* database.run(`ALTER DATABASE ${name} SET search_path = public, other`)
          const elsewhere = yield* TestDatabase.connect(database.url)
          yield* elsewhere.run("CREATE TABLE public.systemplane_entries (namespace text)")
          const exit = yield* Effect.exit(elsewhere.run(Ddl.sql))
          assert.include(String((exit as Exit.Failure<never, never>).cause), "stands in the schema")
          yield* elsewhere.run("DROP TABLE public.systemplane_entries")
          yield* elsewhere.run(Ddl.sql)
          assert.deepStrictEqual(
            yield* database.run(
              "SELECT DISTINCT relnamespace::regnamespace::text AS s FROM pg_class WHERE relname LIKE 'systemplane%'"
            ),
            [{ s: "other" }]
          )
        })
      )
  )
})

describe("a sequence behind the rows, or that hands numbers out ahead of time", () => {
  it.live("G2: a sequence behind the rows is found by verify, and raised by ensure or a writer's statement", () =>
    scopedOnEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        yield* database.run(add("k"))
        const behind = Catalog.withoutTriggers(
          database,
          database.run("UPDATE systemplane_entries SET revision = revision + 77")
        )
        yield* behind
        const reason = yield* reasonOf
        assert.deepInclude(reason, { _tag: "SchemaOutdated", parts: ["position of systemplane_revision_seq"] })
        yield* ensure
        yield* verify
        const [{ revision }] = yield* database.run("SELECT revision::int FROM systemplane_entries")
        assert.isAbove(yield* database.write("a", "k", 2), revision)
        yield* behind
        assert.isAbove(yield* database.write("a", "k", 3), revision + 77)

        // The history knows what was drawn for rows that are gone, whichever of them went last.
        const emptyAndSetBack = Effect.gen(function* () {
          const last = yield* database.write("a", "last", revision)
          yield* database.run("DELETE FROM systemplane_entries WHERE key = 'last'")
          yield* database.run("DELETE FROM systemplane_entries")
          yield* database.run("SELECT setval('systemplane_revision_seq', 1)")
          return last
        })
        const last = yield* emptyAndSetBack
        assert.deepInclude(yield* reasonOf, {
          _tag: "SchemaOutdated",
          parts: ["position of systemplane_revision_seq after systemplane_history"]
        })
        yield* ensure
        assert.deepStrictEqual(yield* verify, { warnings: [] })
        assert.isAbove(yield* database.write("a", "k", 4), last)
        const lastAgain = yield* emptyAndSetBack
        assert.isAbove(yield* database.write("a", "k", 5), lastAgain)

        // A revision that somebody wrote by hand, and no sequence gets to, does not count.
        yield* Catalog.withoutTriggers(
          database,
          database.run(`UPDATE systemplane_entries SET revision = ${Number.MAX_SAFE_INTEGER}`)
        )
        const drawn = yield* database.write("a", "another", 6)
        assert.isBelow(drawn, 1_000_000)
        assert.isAbove(yield* database.write("a", "k", 7), drawn)

        // Rows and records that are replicated raise the sequences: a transaction that began before sees neither.
        const early = yield* TestDatabase.connect(database.url)
        const late = yield* early.transaction(
          Effect.gen(function* () {
            yield* early.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield* early.run("SELECT FROM systemplane_entries")
            yield* database.transaction(
              Effect.gen(function* () {
                yield* database.run("SET LOCAL session_replication_role = replica")
                yield* database.run(
                  `INSERT INTO systemplane_entries (namespace, key, value, revision) VALUES ('a', 'r', '1', ${drawn + 5000})`
                )
                yield* database.run(
                  `INSERT INTO systemplane_history (id, namespace, key, operation, revision, value, changed_at, changed_by)
                   SELECT max(id) + 1, 'a', 'r', 'create', ${drawn + 5000}, '1', now(), 'ada' FROM systemplane_history`
                )
              })
            )
            return yield* early.run(`${add("early")} RETURNING revision::int`)
          })
        )
        assert.isAbove(late[0].revision, drawn + 5000)
        assert.deepStrictEqual(yield* verify, { warnings: [] })

        yield* database.run("ALTER SEQUENCE systemplane_revision_seq CACHE 50")
        assert.strictEqual((yield* reasonOf)._tag, "SchemaOutdated")
        yield* ensure
        assert.deepStrictEqual(yield* verify, { warnings: [] })
      })
    )
  )
})

describe("rows that are hidden from the owner, whose rights the functions have", () => {
  it.live("G2: rows hidden from the owner are RowsHidden to ensure and verify; no sequence is set by the rest", () =>
    Effect.gen(function* () {
      const owner = yield* TestDatabase.makeRole
      const database = yield* TestDatabase.make
      yield* database.run(`ALTER DATABASE "${database.name}" OWNER TO ${owner.user}`)
      yield* database.run(`GRANT ALL ON SCHEMA public TO ${owner.user}`)
      const asOwner = yield* TestDatabase.asRole(database, owner)
      yield* asOwner.run(Ddl.sql)
      yield* Effect.gen(function* () {
        for (const table of ["systemplane_entries", "systemplane_history"]) {
          const force = (yes: boolean) =>
            asOwner.run(
              `ALTER TABLE ${table} ${yes ? "ENABLE" : "DISABLE"} ROW LEVEL SECURITY, ${yes ? "" : "NO"} FORCE ROW LEVEL SECURITY`
            )
          const before = yield* database.write("a", "k", table)
          yield* force(true)
          yield* database.run("DROP SEQUENCE systemplane_revision_seq")
          for (const refused of [verify, ensure]) {
            const { reason } = yield* Effect.flip(refused)
            assert.deepInclude(reason, { _tag: "TableUnsuitable", problem: "RowsHidden" })
            assert.include(reason.message, `rows of ${table}`)
          }
          assert.isTrue(Exit.isFailure(yield* Effect.exit(asOwner.run(Ddl.sql))))
          yield* force(false)
          yield* ensure
          assert.isAbove(yield* database.write("a", "k", 1), before)
        }
      }).pipe(Effect.provide(layer({ acme: database })))
      yield* database.run(`DROP OWNED BY ${owner.user} CASCADE`)
    }).pipe(Effect.scoped)
  )
})

describe("a process that only reads", () => {
  it.live(`needs SELECT alone, with bootstrap "verify" and no seeding; rows that a policy hides are no values`, () =>
    Effect.gen(function* () {
      const role = yield* TestDatabase.makeRole
      const database = yield* TestDatabase.make
      yield* Catalog.prepare(database)
      yield* database.write(Limit.namespace, Limit.key, 7)
      yield* database.run(`GRANT SELECT ON systemplane_entries TO ${role.user}`)
      const plane = TestPlane.layer(
        { acme: { ...database, url: Redacted.make(Redacted.value(database.urlAs(role))) } },
        { tenants: [], bootstrap: "verify", seedDefaults: false }
      )
      const activate = TenantManager.use((manager) => manager.activate("acme"))
      yield* Effect.gen(function* () {
        yield* activate
        assert.strictEqual(yield* Config.get(Limit), 7)
      }).pipe(withTenant("acme"), Effect.provide(plane))

      // It reads no history, and needs to see none.
      yield* database.run("ALTER TABLE systemplane_history ENABLE ROW LEVEL SECURITY")
      yield* Effect.provide(activate, plane)
      yield* database.run("ALTER TABLE systemplane_entries ENABLE ROW LEVEL SECURITY")
      const { reason } = yield* Effect.provide(Effect.flip(activate), plane)
      assert.include(reason.message, "row level security")
    }).pipe(Effect.scoped)
  )
})
