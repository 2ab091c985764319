import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Config, Ddl, SchemaBootstrap, withTenant } from "effect-systemplane"
import * as DdlEntries from "../../src/schema/DdlEntries.ts"
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
  DdlEntries.primaryKey,
  DdlEntries.revisionColumn,
  DdlEntries.noDefault,
  DdlEntries.sequencePosition
].map(({ name }) => name)
const everything = names(Ddl.parts).filter(
  (name) => !comesWithTheTable.includes(name) && !name.startsWith("columns of")
)

const { revisionColumn, bumpTrigger, drawRevision, notify, notifyTrigger, notifyUpdateTrigger } = DdlEntries
const entryTriggers = [bumpTrigger, notifyTrigger, notifyUpdateTrigger]
const allEntryTriggers = Ddl.objects(true).filter(
  (object) => object.kind === "triggers" && object.triggers[0]?.table === "systemplane_entries"
)
const entryFunctions = [drawRevision, notify]

describe("ensure", () => {
  it.live("brings up an empty database, and says what it made", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* ensure, everything)
        yield* verify
        assert.isAbove(yield* database.write("any", "key", 1), 0)
      })
    )
  )

  it.live("issues no DDL on an up-to-date database, however its sessions quote names", () =>
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

  it.live("takes no lock on an up-to-date database: it passes while another session holds the table for itself", () =>
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

  it.live("of 8 that meet on an empty database all succeed, and one does the work", () =>
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
        commands.filter((command) => command === "CREATE TABLE" || command === "CREATE SEQUENCE"),
        ["CREATE SEQUENCE", ...Array.from({ length: 4 }, () => "CREATE TABLE")]
      )
    }).pipe(Effect.scoped)
  )

  it.live("works in another schema than public, and the plane with it", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const schema = '"Plane""1"'
      yield* database.run(`CREATE SCHEMA ${schema}`)
      const url = new URL(Redacted.value(database.url))
      url.searchParams.set("options", `-c search_path=${schema}`)
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
  for (const { name } of entryTriggers) {
    it.live(`the missing trigger ${name}`, () =>
      onEmptyDatabase((database) =>
        Effect.gen(function* () {
          yield* ensure
          const before = yield* Catalog.triggers(database)
          yield* database.run(`DROP TRIGGER ${name} ON systemplane_entries`)
          assert.deepStrictEqual(yield* ensure, [name])
          assert.deepStrictEqual(yield* Catalog.triggers(database), before)
        })
      )
    )
  }

  it.live("triggers that are disabled, or fire on replicas only", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        const before = yield* Catalog.triggers(database)
        for (const change of ["DISABLE", "ENABLE REPLICA"]) {
          for (const { name } of entryTriggers) {
            yield* database.run(`ALTER TABLE systemplane_entries ${change} TRIGGER ${name}`)
          }
          assert.deepStrictEqual(yield* ensure, names(entryTriggers))
          assert.deepStrictEqual(yield* Catalog.triggers(database), before)
        }
      })
    )
  )

  it.live("a trigger that fires on something else", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        const before = yield* Catalog.triggers(database)
        yield* database.run(
          `CREATE OR REPLACE TRIGGER systemplane_notify_trigger AFTER INSERT ON systemplane_entries
           FOR EACH ROW EXECUTE FUNCTION ${notify.name}()`
        )
        assert.deepStrictEqual(yield* ensure, ["systemplane_notify_trigger"])
        assert.deepStrictEqual(yield* Catalog.triggers(database), before)
      })
    )
  )

  it.live("the triggers, if those of an older service notify without a revision", () =>
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

  for (const { name } of entryFunctions) {
    it.live(`an outdated body of the function ${name}`, () =>
      onEmptyDatabase((database) =>
        Effect.gen(function* () {
          yield* ensure
          yield* database.run(
            `CREATE OR REPLACE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$`
          )
          assert.deepStrictEqual(yield* ensure, [name])
          const body = yield* database.run("SELECT prosrc AS body FROM pg_proc WHERE proname = $1", [name])
          assert.deepStrictEqual(body, [
            {
              body: entryFunctions
                .find((part) => part.name === name)
                ?.body.replaceAll(/\{schema(:literal)?\}/g, "public")
            }
          ])
        })
      )
    )
  }

  it.live("the rights with which revisions are drawn", () =>
    onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* ensure
        yield* database.run(`ALTER FUNCTION ${drawRevision.name}() SECURITY INVOKER`)
        assert.deepStrictEqual(yield* ensure, [drawRevision.name])
        const rights = yield* database.run("SELECT prosecdef AS owner FROM pg_proc WHERE proname = $1", [
          drawRevision.name
        ])
        assert.deepStrictEqual(rights, [{ owner: true }])
      })
    )
  )

  it.live("the sequence, above every revision in the table", () =>
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
  it.live("leaves triggers alone that do the same with functions of their own", () =>
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

  it.live("upgrades a table without revisions in place, keeping every row", () =>
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
              : name === revisionColumn.name || name === DdlEntries.sequencePosition.name
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

/** Ways in which a prepared database can be out of order, and the parts that are named for it. */
const disorders: ReadonlyArray<readonly [what: string, statement: string, parts: ReadonlyArray<string>]> = [
  ["no sequence", "DROP SEQUENCE systemplane_revision_seq", names([DdlEntries.sequence, DdlEntries.sequencePosition])],
  [
    "no revisions",
    "ALTER TABLE systemplane_entries DROP COLUMN revision",
    names([revisionColumn, DdlEntries.revisionIndex])
  ],
  [
    "renamed functions",
    `ALTER FUNCTION ${notify.name}() RENAME TO old`,
    [notify.name, ...names(entryTriggers.slice(1))]
  ],
  ["functions without rights", `ALTER FUNCTION ${drawRevision.name}() SECURITY INVOKER`, [drawRevision.name]],
  ["no triggers", `DROP FUNCTION ${notify.name}() CASCADE`, [notify.name, ...names(entryTriggers.slice(1))]],
  ["disabled triggers", "ALTER TABLE systemplane_entries DISABLE TRIGGER ALL", names(allEntryTriggers)],
  [
    "triggers that fire for some columns only",
    `CREATE OR REPLACE TRIGGER systemplane_notify_update_trigger AFTER UPDATE OF updated_by ON systemplane_entries
     FOR EACH ROW EXECUTE FUNCTION ${notify.name}()`,
    names([notifyUpdateTrigger])
  ]
]

describe("verify", () => {
  it.live("reports SchemaMissing on an empty database, changes nothing, and its SQL mends it", () =>
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

  for (const [what, statement, parts] of disorders) {
    it.live(`reports SchemaOutdated if there are ${what}, changes nothing, and its SQL mends it`, () =>
      onEmptyDatabase((database) =>
        Effect.gen(function* () {
          yield* ensure
          yield* database.write("any", "key", 1)
          yield* database.run(statement)
          const ddl = yield* Catalog.watchDdl(database)

          const error = yield* Effect.flip(verify)
          assert.deepStrictEqual(yield* ddl, [])
          if (error.reason._tag !== "SchemaOutdated") return assert.fail(error.reason._tag)
          assert.deepStrictEqual(error.reason.parts, parts)

          yield* Catalog.runScript(database, error.reason.sql)
          yield* verify
          const [row] = yield* Catalog.rows(database)
          assert.isAbove(yield* database.write("any", "key", 2), row.revision)
        })
      )
    )
  }
})

describe("Ddl.sql", () => {
  it.live("prepares a database, as a script and statement by statement, and may run again", () =>
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

  it.live("upgrades the table that an older service left", () =>
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
