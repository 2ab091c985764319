import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted } from "effect"
import { Config, Ddl, SchemaBootstrap, withTenant } from "effect-systemplane"
import * as PgSchemaCheck from "../../src/layers/postgres/schema/PgSchemaCheck.ts"
import * as DdlEntries from "../../src/schema/ddl/DdlEntries.ts"
import * as DdlHistoryTable from "../../src/schema/ddl/DdlHistoryTable.ts"
import * as DdlKeys from "../../src/schema/ddl/DdlKeys.ts"
import * as DdlNotify from "../../src/schema/ddl/DdlNotify.ts"
import * as DdlRevisions from "../../src/schema/ddl/DdlRevisions.ts"
import * as DdlSequence from "../../src/schema/ddl/DdlSequence.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as Catalog from "./Catalog.ts"
import * as OlderServices from "./OlderServices.ts"
import { acme, layer, onEmptyDatabase } from "./TestStore.ts"

const ensure = Effect.map(
  SchemaBootstrap.use((bootstrap) => bootstrap.ensure(acme)),
  ({ changed }) => changed
)
const verify = SchemaBootstrap.use((bootstrap) => bootstrap.verify(acme))
const names = (parts: ReadonlyArray<{ readonly name: string }>) => parts.map((part) => part.name)

/** All of the schema on an empty database: there the column comes with the table. */
const comesWithTheTable = [
  DdlEntries.durability,
  DdlEntries.primaryKey,
  DdlRevisions.revisionColumn,
  DdlRevisions.noDefault,
  DdlSequence.sequencePosition,
  DdlSequence.positionAfterHistory,
  DdlHistoryTable.filledId,
  DdlHistoryTable.identityOrder,
  DdlKeys.ownTriggers
].map(({ name }) => name)
const everything = names(Ddl.parts).filter(
  (name) => !comesWithTheTable.includes(name) && !name.startsWith("columns of")
)

const { revisionColumn, bumpTrigger, drawRevision } = DdlRevisions
const { notify, notifyTrigger, notifyUpdateTrigger } = DdlNotify
const entryTriggers = [bumpTrigger, notifyTrigger, notifyUpdateTrigger]
const allEntryTriggers = Ddl.objects(true).filter(
  (object) => object.kind === "triggers" && object.triggers[0]?.table === "systemplane_entries"
)
const entryFunctions = [drawRevision, notify]
const updates = names([notifyUpdateTrigger])
const position = DdlSequence.sequencePosition.name
const positions = [position, DdlSequence.positionAfterHistory.name]
const columns = DdlEntries.columns.name

describe("ensure", () => {
  it.live("ensure brings up an empty database, whatever statement_timeout is, and says what it made", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run(`ALTER DATABASE "${database.name}" SET statement_timeout = '1h'`)
        yield* database.run(
          `CREATE FUNCTION public.bounded() RETURNS event_trigger LANGUAGE plpgsql AS $$
           BEGIN ASSERT current_setting('statement_timeout') = '0'; END $$`
        )
        yield* database.run("CREATE EVENT TRIGGER bounded ON ddl_command_start EXECUTE FUNCTION public.bounded()")
        assert.deepStrictEqual(yield* ensure, everything)
        yield* verify
        assert.isAbove(yield* database.write("any", "key", 1), 0)
      })
    )
  )

  it.live("ensure issues no DDL on an up-to-date database, however its sessions quote names", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* database.run(Ddl.sql)
        yield* database.run(`ALTER DATABASE "${database.name}" SET quote_all_identifiers = on`)
        const ddl = yield* Catalog.watchDdl(database)

        assert.deepStrictEqual(yield* ensure, [])
        assert.deepStrictEqual(yield* ddl, [])

        // The watch does see what ensure issues if something is missing.
        yield* database.run("DROP TRIGGER systemplane_notify_trigger ON systemplane_entries")
        yield* ddl
        yield* ensure
        assert.deepStrictEqual(yield* ddl, ["CREATE TRIGGER", "ALTER TABLE"])
      })
    )
  )

  it.live("ensure takes no lock on an up-to-date database: another session may hold the table", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        const services = yield* Effect.context<SchemaBootstrap>()
        const changed = yield* database.transaction(
          Effect.gen(function* () {
            yield* database.write("any", "key", 1)
            yield* database.run("LOCK TABLE systemplane_entries IN ACCESS EXCLUSIVE MODE")
            return yield* Effect.orDie(Effect.provide(ensure, services))
          })
        )
        assert.deepStrictEqual(changed, [])
      })
    )
  )

  it.live("of 8 calls of ensure that meet on an empty database all succeed, and one does the work", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const ddl = yield* Catalog.watchDdl(database)
      const planes = Array.from({ length: 8 }, () => Effect.provide(ensure, layer({ acme: database })))

      const changed = yield* Effect.all(planes, { concurrency: "unbounded" })
      const commands = yield* ddl

      assert.deepStrictEqual(
        changed.filter((parts) => parts.length > 0),
        [everything]
      )
      assert.deepStrictEqual(
        commands.filter((command) => command === "CREATE TABLE" || command === "CREATE SEQUENCE").sort(),
        ["CREATE SEQUENCE", "CREATE SEQUENCE", ...Array.from({ length: 4 }, () => "CREATE TABLE")]
      )
    }).pipe(Effect.scoped)
  )

  it.live(
    "scripts that meet, also with processes, all succeed: what one looked at before the lock it looks at again",
    () =>
      Effect.gen(function* () {
        const role = yield* TestDatabase.makeRole
        const database = yield* TestDatabase.make
        const ddl = yield* Catalog.watchDdl(database)
        const script = database.run(Ddl.sql)
        const plane = Effect.provide(ensure, layer({ acme: database }))

        yield* Effect.all([script, script, script, plane, plane], { concurrency: "unbounded", discard: true })
        const created = (yield* ddl).filter((command) => /^CREATE (TABLE|SEQUENCE|INDEX|TRIGGER)$/.test(command))
        yield* database.run(
          "GRANT EXECUTE ON FUNCTION systemplane_entries_draw_revision(), systemplane_entries_notify() TO PUBLIC"
        )
        yield* ddl
        yield* Effect.all([script, script, script], { concurrency: "unbounded", discard: true })
        assert.deepStrictEqual(yield* ddl, ["REVOKE", "REVOKE"])
        const grants = database.run(Ddl.grants(role.user))
        yield* Effect.all([grants, grants, grants], { concurrency: "unbounded", discard: true })

        const alone = yield* TestDatabase.make
        const ofOne = yield* Catalog.watchDdl(alone)
        yield* alone.run(Ddl.sql)
        assert.deepStrictEqual(
          created,
          (yield* ofOne).filter((command) => /^CREATE (TABLE|SEQUENCE|INDEX|TRIGGER)$/.test(command))
        )
      }).pipe(Effect.scoped)
  )

  it.live("ensure works in another schema than public, and the plane with it", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      // What a name may hold, and what templates, formats and regular expressions take for themselves.
      const schema = '"Plane""1 {schema} {schema:literal} $& %s \'"'
      yield* database.run(`CREATE SCHEMA ${schema}`)
      const url = new URL(Redacted.value(database.url))
      url.searchParams.set("options", `-c search_path=${schema.replaceAll(/[\\ ]/g, "\\$&")}`)
      const inSchema = { ...database, url: Redacted.make(url.toString()) }

      yield* Effect.gen(function* () {
        yield* database.run(`UPDATE ${schema}.systemplane_entries SET value = '7' WHERE key = '${Limit.key}'`)
        yield* TestDatabase.eventually(
          "7 is seen",
          Effect.map(Config.get(Limit), (limit) => limit === 7)
        )
        assert.isAbove((yield* Config.set(Limit, 8, { actor: "test" })).revision, 0)
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme: inSchema })))

      const objects = yield* database.run(
        `SELECT DISTINCT relnamespace::regnamespace::text AS schema FROM pg_class WHERE relname LIKE 'systemplane%'
         UNION SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE 'systemplane%'`
      )
      assert.deepStrictEqual(objects, [{ schema }])
      assert.deepStrictEqual(yield* Effect.provide(ensure, layer({ acme: inSchema })), [])
    }).pipe(Effect.scoped)
  )
})

describe("ensure restores what was lost or changed", () => {
  it.live("ensure mends triggers that are missing, disabled, or fire on replicas only", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        const before = yield* Catalog.triggers(database)
        for (const change of [
          (name: string) => `DROP TRIGGER ${name} ON systemplane_entries`,
          (name: string) => `ALTER TABLE systemplane_entries DISABLE TRIGGER ${name}`,
          (name: string) => `ALTER TABLE systemplane_entries ENABLE REPLICA TRIGGER ${name}`
        ]) {
          for (const { name } of entryTriggers) yield* database.run(change(name))
          assert.deepStrictEqual(yield* ensure, names(entryTriggers))
          assert.deepStrictEqual(yield* Catalog.triggers(database), before)
        }
      })
    )
  )

  it.live("ensure makes the triggers anew if those of an older service notify without a revision", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        const before = yield* Catalog.triggers(database)
        yield* OlderServices.notifyV3(database)
        assert.deepStrictEqual(yield* ensure, ["systemplane_notify_trigger", "systemplane_notify_update_trigger"])
        assert.deepStrictEqual(yield* Catalog.triggers(database), before)
      })
    )
  )

  it.live("ensure mends an outdated body of a function, and the rights with which it runs", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        for (const { body, definer, name } of entryFunctions) {
          yield* database.run(
            `CREATE OR REPLACE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$`
          )
          assert.deepStrictEqual(yield* ensure, [name])
          assert.deepStrictEqual(
            yield* database.run("SELECT prosrc AS body, prosecdef AS definer FROM pg_proc WHERE proname = $1", [name]),
            [{ body: body.replaceAll(/\{schema(:literal)?\}/g, "public"), definer }]
          )
        }
      })
    )
  )

  it.live("ensure sets the sequence above every revision in the table", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        yield* database.write("any", "key", 1)
        const last = yield* database.write("any", "key", 2)
        yield* database.run("DROP SEQUENCE systemplane_revision_seq")
        yield* ensure
        assert.isAbove(yield* database.write("any", "key", 3), last)
      })
    )
  )
})

describe("ensure beside other services on one database", () => {
  it.live("ensure leaves triggers of other services alone that do the same", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        yield* OlderServices.triggersV4(database)
        yield* Effect.forEach(entryFunctions, ({ name }) => database.run(`DROP FUNCTION ${name}()`))
        const theirs = yield* Catalog.triggers(database)
        const ddl = yield* Catalog.watchDdl(database)

        assert.deepStrictEqual(yield* ensure, [])
        yield* verify
        assert.deepStrictEqual(yield* ddl, [])
        assert.deepStrictEqual(yield* Catalog.triggers(database), theirs)
      })
    )
  )

  it.live("ensure upgrades a table without revisions in place, keeping every row", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* OlderServices.tableWithoutRevision(database)
        yield* OlderServices.notifyV3(database)
        yield* database.run(
          `INSERT INTO systemplane_entries (namespace, key, value, updated_at, updated_by)
           SELECT 'rates', 'key-' || n, to_jsonb(n), '2020-01-01 00:00:00+00'::timestamptz + n * interval '1 day', 'operator'
           FROM generate_series(1, 50) AS n`
        )
        const kept = database.run(
          "SELECT namespace, key, value, updated_at::text, updated_by FROM systemplane_entries ORDER BY namespace, key"
        )
        const before = yield* kept

        assert.deepStrictEqual(
          yield* ensure,
          names(Ddl.parts).filter((name) =>
            everything.includes(name)
              ? name !== "table systemplane_entries"
              : name === revisionColumn.name || name === DdlSequence.sequencePosition.name
          )
        )
        yield* verify

        assert.deepStrictEqual(yield* kept, before)
        const revisions = (yield* Catalog.rows(database)).map((row): number => row.revision)
        assert.strictEqual(new Set(revisions).size, 50)
        assert.isAbove(Math.min(...revisions), 0)
        assert.isAbove(yield* database.write("rates", "key-1", "changed"), Math.max(...revisions))
        assert.deepStrictEqual(yield* ensure, [])
      })
    )
  )
})

const another = (name: string, rest = "") =>
  `CREATE OR REPLACE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql ${rest} AS $$ BEGIN RETURN NEW; END $$`

const updateTrigger = (condition: string, run: string = notify.name, columns = "") =>
  `CREATE OR REPLACE TRIGGER systemplane_notify_update_trigger AFTER UPDATE ${columns} ON systemplane_entries
   FOR EACH ROW ${condition} EXECUTE FUNCTION ${run}`

/**
 * Changes to a prepared database through which changes or revisions get lost, and the parts that are named for them.
 */
const losses: ReadonlyArray<readonly [what: string, statement: string, parts: ReadonlyArray<string>]> = [
  [
    "no sequence",
    "DROP SEQUENCE systemplane_revision_seq",
    names([DdlSequence.sequence, DdlSequence.sequencePosition])
  ],
  [
    "something else under the sequence's name",
    "DROP SEQUENCE systemplane_revision_seq; CREATE VIEW systemplane_revision_seq AS SELECT 1 AS last_value",
    []
  ],
  ["a sequence that soon ends", "ALTER SEQUENCE systemplane_revision_seq MAXVALUE 2000000", [position]],
  ["a sequence of another type", "ALTER SEQUENCE systemplane_revision_seq AS integer", [position]],
  ["a sequence that begins below 1", "ALTER SEQUENCE systemplane_revision_seq MINVALUE -10 RESTART -10", positions],
  ["a sequence at its end", "SELECT setval('systemplane_revision_seq', 9223372036854775807)", positions],
  [
    "no revisions",
    "ALTER TABLE systemplane_entries DROP COLUMN revision",
    names([revisionColumn, DdlRevisions.revisionIndex])
  ],
  ["revisions that end at 2^31", "ALTER TABLE systemplane_entries ALTER COLUMN revision TYPE integer", [columns]],
  ["revisions that are text", "ALTER TABLE systemplane_entries ALTER COLUMN revision TYPE text", [columns]],
  ["values that are json", "ALTER TABLE systemplane_entries ALTER COLUMN value TYPE json", [columns]],
  [
    "times without a zone, in a domain",
    "CREATE DOMAIN clock AS timestamp; ALTER TABLE systemplane_entries ALTER COLUMN updated_at TYPE clock",
    [columns]
  ],
  [
    "a deferrable primary key, on which no write may conflict",
    `ALTER TABLE systemplane_entries DROP CONSTRAINT systemplane_entries_pkey,
     ADD CONSTRAINT late PRIMARY KEY (namespace, key) DEFERRABLE INITIALLY DEFERRED`,
    names([DdlEntries.primaryKey])
  ],
  [
    "a primary key of another service's",
    "ALTER TABLE systemplane_entries DROP CONSTRAINT systemplane_entries_pkey, ADD COLUMN id serial PRIMARY KEY",
    names([DdlEntries.primaryKey])
  ],
  [
    "G1, G3: a collation under which names that differ in case are equal is mended",
    `CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
     ALTER TABLE systemplane_entries ALTER COLUMN key TYPE text COLLATE any_case`,
    [columns]
  ],
  [
    "records whose names are equal if they differ in case",
    `DROP VIEW systemplane_recent_changes;
     ALTER TABLE systemplane_history ALTER COLUMN namespace TYPE varchar COLLATE any_case`,
    ["columns of systemplane_history", "view systemplane_recent_changes"]
  ],
  [
    "records whose ids nothing fills",
    "ALTER TABLE systemplane_history ALTER COLUMN id DROP IDENTITY",
    [DdlHistoryTable.filledId.name]
  ],
  [
    "records whose ids come from a sequence of nothing",
    `CREATE SEQUENCE ids;
     ALTER TABLE systemplane_history ALTER COLUMN id DROP IDENTITY, ALTER COLUMN id SET DEFAULT nextval('ids')`,
    [DdlHistoryTable.filledId.name]
  ],
  [
    "records whose values are text",
    "DROP VIEW systemplane_recent_changes; ALTER TABLE systemplane_history ALTER COLUMN value TYPE text",
    ["columns of systemplane_history", "view systemplane_recent_changes"]
  ],
  [
    "renamed functions",
    `ALTER FUNCTION ${notify.name}() RENAME TO old`,
    [notify.name, ...names(entryTriggers.slice(1))]
  ],
  ["no triggers", `DROP FUNCTION ${notify.name}() CASCADE`, [notify.name, ...names(entryTriggers.slice(1))]],
  ["a function with another body", another(notify.name), [notify.name]],
  ["a function without rights", `ALTER FUNCTION ${drawRevision.name}() SECURITY INVOKER`, [drawRevision.name]],
  ["a function that sees no changes", `ALTER FUNCTION ${drawRevision.name}() STABLE`, [drawRevision.name]],
  [
    "a record that may not write",
    "ALTER FUNCTION systemplane_record_update() IMMUTABLE",
    ["systemplane_record_update"]
  ],
  ["disabled triggers", "ALTER TABLE systemplane_entries DISABLE TRIGGER ALL", names(allEntryTriggers)],
  ["a trigger that fires for some columns only", updateTrigger("", `${notify.name}()`, "OF updated_by"), updates],
  ["a trigger that never fires", updateTrigger("WHEN (false)", `${notify.name}()`), updates],
  [
    "a trigger with another condition",
    updateTrigger("WHEN (OLD.updated_by IS DISTINCT FROM NEW.updated_by)", `${notify.name}()`),
    updates
  ],
  [
    "a trigger on a setting",
    updateTrigger("WHEN (current_setting('systemplane.once', true) = 'on')", `${notify.name}()`),
    updates
  ],
  [
    "revisions that are drawn on a condition",
    `CREATE OR REPLACE TRIGGER systemplane_bump_revision_trigger BEFORE INSERT OR UPDATE ON systemplane_entries
     FOR EACH ROW WHEN (NEW.key IS NULL) EXECUTE FUNCTION ${drawRevision.name}()`,
    names([bumpTrigger])
  ],
  [
    "a trigger that is put off to the end of the transaction",
    `DROP TRIGGER systemplane_notify_trigger ON systemplane_entries;
     CREATE CONSTRAINT TRIGGER systemplane_notify_trigger AFTER INSERT OR DELETE ON systemplane_entries
     DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ${notify.name}();
     ALTER TABLE systemplane_entries ENABLE ALWAYS TRIGGER systemplane_notify_trigger`,
    names([notifyTrigger])
  ],
  [
    "an older service's trigger that never fires",
    updateTrigger("WHEN (false)", "systemplane_notify_v4('systemplane_changes')"),
    updates
  ],
  [
    "an older service's trigger on another condition",
    updateTrigger("WHEN (NEW.* IS DISTINCT FROM NEW.*)", "systemplane_notify_v4('systemplane_changes')"),
    updates
  ],
  [
    "an older service's trigger whose function does nothing",
    `${updateTrigger("", "systemplane_notify_v4('systemplane_changes')")};
     CREATE OR REPLACE FUNCTION systemplane_notify_v4() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
       -- pg_notify(TG_ARGV[0], 'namespace, key')
       RETURN NEW;
     END $$`,
    updates
  ],
  [
    "an older service's trigger whose function draws nothing",
    `${another("systemplane_bump_revision_v4")};
     CREATE OR REPLACE TRIGGER systemplane_bump_revision_trigger BEFORE INSERT OR UPDATE ON systemplane_entries
     FOR EACH ROW EXECUTE FUNCTION systemplane_bump_revision_v4()`,
    names([bumpTrigger])
  ]
]

describe("verify", () => {
  it.live("verify reports SchemaMissing on an empty database, changes nothing, and its SQL mends it", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        const ddl = yield* Catalog.watchDdl(database)
        const error = yield* Effect.flip(verify)
        assert.deepStrictEqual(yield* ddl, [])
        if (error.reason._tag !== "SchemaMissing") return assert.fail(error.reason._tag)
        assert.deepStrictEqual(error.reason.parts, everything)
        assert.include(error.message, "Tenant acme")
        assert.include(error.message, error.reason.sql)

        yield* Catalog.runScript(database, error.reason.sql)
        yield* verify
      })
    )
  )

  it.live(
    "verify reports SchemaOutdated if changes or revisions would get lost, changes nothing, and its SQL mends it; the fast check finds it too",
    () =>
      onEmptyDatabase((database) =>
        Effect.gen(function* () {
          yield* OlderServices.functionsV4(database)
          yield* ensure
          const fast = PgSchemaCheck.findsEverything(Catalog.query(database), [])
          let revision = yield* database.write("any", "key", 0)
          const ddl = yield* Catalog.watchDdl(database)
          for (const [at, [what, statement, parts]] of losses.entries()) {
            assert.isTrue(yield* fast, what)
            yield* Catalog.runScript(database, statement)
            yield* ddl

            assert.isFalse(yield* fast, what)
            const error = yield* Effect.flip(verify)
            assert.deepStrictEqual(yield* ddl, [], what)
            if (error.reason._tag !== "SchemaOutdated") return assert.fail(`${what}: ${error.message}`)
            if (parts.length > 0) assert.deepStrictEqual(error.reason.parts, parts, what)
            else yield* database.run("DROP VIEW systemplane_revision_seq")

            yield* Catalog.runScript(database, error.reason.sql)
            assert.deepStrictEqual(yield* verify, { warnings: [] }, what)
            const drawn = yield* database.write("any", "key", at + 1)
            assert.isAbove(drawn, revision, what)
            revision = drawn
          }
          for (const statement of ["ALTER value TYPE text USING 'no JSON'", "DROP COLUMN value"]) {
            yield* database.run(`ALTER TABLE systemplane_entries ${statement}`)
            const { reason } = yield* Effect.flip(ensure)
            assert.deepInclude(reason, { _tag: "TableUnsuitable", problem: "ColumnsLost" })
          }
          yield* Catalog.runScript(
            database,
            "ALTER TABLE systemplane_entries DISABLE TRIGGER USER; DELETE FROM systemplane_entries"
          )
          yield* ensure
          assert.isAbove(yield* database.write("any", "key", 0), revision)
        })
      )
  )
})

describe("Ddl.sql", () => {
  it.live("Ddl.sql prepares a database, as a script and statement by statement, and may run again", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* Catalog.prepare(database)
        yield* verify
        yield* database.write("any", "key", 1)
        const before = yield* Catalog.rows(database)

        yield* Catalog.prepare(database)
        for (const part of Ddl.parts) yield* Effect.forEach(part.statements, (statement) => database.run(statement))
        yield* verify
        assert.deepStrictEqual(yield* ensure, [])
        assert.deepStrictEqual(yield* Catalog.rows(database), before)
      })
    )
  )

  it.live(
    "G16: a history in the place of one that was dropped or renamed has a record of each entry, its indexes and its view",
    () =>
      onEmptyDatabase((database) =>
        Effect.gen(function* () {
          yield* Catalog.prepare(database)
          yield* database.write("any", "old", 1)
          yield* database.write("any", "key", 1)
          const rename = "ALTER TABLE systemplane_history RENAME TO history_"
          const replacements = [
            "DROP TABLE systemplane_history CASCADE",
            `${rename}1; CREATE TABLE systemplane_history (LIKE history_1 INCLUDING ALL)`,
            `${rename}2; CREATE TABLE systemplane_history (LIKE history_2 INCLUDING ALL); INSERT INTO systemplane_history SELECT * FROM history_2`,
            `${rename}3; CREATE TABLE systemplane_history (LIKE history_3)`,
            `${rename}4; CREATE TABLE systemplane_history AS SELECT * FROM history_4`,
            `${rename}5`,
            "DROP TABLE systemplane_keys"
          ]
          for (const replacement of replacements) {
            yield* Catalog.runScript(database, replacement)
            yield* Effect.exit(database.write("any", "key", 2))
            const found = yield* Effect.exit(verify)
            assert.isFalse(Exit.isSuccess(found) && found.value.warnings.length === 0, replacement)

            yield* Catalog.prepare(database)
            assert.deepStrictEqual(yield* verify, { warnings: [] }, replacement)
            assert.deepStrictEqual(yield* ensure, [], replacement)
            yield* database.write("any", "key", 3)
            const [seen] = yield* database.run(
              `SELECT
               (SELECT count(*)::int FROM systemplane_entries AS e WHERE NOT EXISTS (
                 SELECT FROM systemplane_history AS h WHERE h.key = e.key AND h.revision = e.revision
               )) AS unrecorded,
               (SELECT max(changed_at) FROM systemplane_history) = (SELECT max(changed_at) FROM systemplane_recent_changes) AS shown`
            )
            assert.deepStrictEqual(seen, { unrecorded: 0, shown: true }, replacement)
          }
        })
      )
  )

  it.live("Ddl.sql upgrades the table that an older service left", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* OlderServices.tableWithoutRevision(database)
        yield* OlderServices.notifyV3(database)
        yield* database.run("INSERT INTO systemplane_entries (namespace, key, value) VALUES ('any', 'key', '1')")
        yield* Catalog.prepare(database)
        yield* verify
        assert.strictEqual((yield* Catalog.rows(database)).length, 1)
      })
    )
  )
})
