import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Config, Ddl, type SystemplaneOptions, TenantManager, withTenant } from "effect-systemplane"
import * as SqlFiles from "../../dev/sqlFiles.ts"
import { Greeting, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as Catalog from "./Catalog.ts"

const activate = TenantManager.use((manager) => manager.activate("acme"))

/** A new database and a role that may do nothing there yet. The role is dropped last, when nothing refers to it. */
const withRole = <A, E>(
  test: (database: TestDatabase.TestDatabase, role: TestDatabase.TestRole) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const role = yield* TestDatabase.makeRole
    const database = yield* TestDatabase.make
    // So from PostgreSQL 15 on.
    yield* database.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    return yield* test(database, role)
  }).pipe(Effect.scoped)

/** The plane as that role. */
const plane = (
  database: TestDatabase.TestDatabase,
  role: TestDatabase.TestRole,
  options: Partial<SystemplaneOptions> = {}
) => TestPlane.layer({ acme: { ...database, url: database.urlAs(role) } }, { tenants: [], ...options })

/** Why activation fails, for a schema that is not as it should be. */
const refusal = Effect.flatMap(Effect.flip(activate), ({ reason }) => Effect.succeed(reason))

/** Every right on the objects of the schema. */
const rights = (database: TestDatabase.TestDatabase) =>
  database.run(
    `SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname`
  )

/** What a migration tool does with the package's `sql/*.sql`, which grant exactly what `Ddl.grants` does. */
const migrateWithFiles = (database: TestDatabase.TestDatabase, role: TestDatabase.TestRole) =>
  Effect.gen(function* () {
    yield* database.run(SqlFiles.files["schema.sql"]!)
    for (const grant of SqlFiles.files["grants.sql"]!.replaceAll(':"role"', role.user).split(";\n").filter(Boolean)) {
      yield* database.run(grant)
    }
    const granted = yield* rights(database)
    yield* database.run(Ddl.grants(role.user))
    assert.deepStrictEqual(yield* rights(database), granted)
  })

describe("a run-time role with nothing but Ddl.grants, on a database prepared with Ddl.sql", () => {
  for (const bootstrap of ["ensure", "verify", "skip"] as const) {
    it.live(`G15: a role with nothing but Ddl.grants serves a tenant with bootstrap "${bootstrap}"`, () =>
      withRole((database, role) =>
        Effect.gen(function* () {
          if (bootstrap === "skip") yield* migrateWithFiles(database, role)
          else {
            yield* Catalog.prepare(database)
            yield* database.run(Ddl.grants(role.user))
          }

          yield* activate
          assert.deepStrictEqual(
            new Set((yield* database.sessions).map((session) => session.user)),
            new Set([role.user])
          )
          assert.deepInclude(yield* Config.entry(Limit), { value: 600, source: "default" })

          const set = yield* Config.set(Limit, 7, { actor: "test" })
          assert.deepInclude(set, { value: 7, updatedBy: "test" })
          const changed = yield* Config.set(Limit, 8, { actor: "test" })
          assert.isAbove(changed.revision, set.revision)
          assert.deepInclude(yield* Config.remove(Limit, { actor: "test" }), { value: 600, source: "default" })

          const revision = yield* database.write("texts", "greeting", "good day")
          yield* TestDatabase.eventually(
            "the change is seen",
            Effect.map(Config.entry(Greeting), (entry) => entry.revision === revision && entry.value === "good day")
          )
        }).pipe(withTenant("acme"), Effect.provide(plane(database, role, { bootstrap })))
      )
    )
  }

  it.live("G15: a role with nothing but Ddl.grants cannot use the sequence, change the schema or empty the table", () =>
    withRole((database, role) =>
      Effect.gen(function* () {
        yield* Catalog.prepare(database)
        yield* database.run(Ddl.grants(role.user))
        const rights = yield* database.run(
          `SELECT has_sequence_privilege($1, 'systemplane_revision_seq', 'USAGE, SELECT, UPDATE') AS sequence,
             has_schema_privilege($1, 'public', 'CREATE') AS schema,
             has_table_privilege($1, 'systemplane_entries', 'TRUNCATE, REFERENCES, TRIGGER' || CASE
               WHEN current_setting('server_version_num')::integer >= 170000 THEN ', MAINTAIN' ELSE '' END) AS table,
             has_table_privilege($1, 'systemplane_entries', 'SELECT WITH GRANT OPTION') AS pass_on`,
          [role.user]
        )
        assert.deepStrictEqual(rights, [{ sequence: false, schema: false, table: false, pass_on: false }])
      })
    )
  )

  it.live("G15: the role of Ddl.grants may have any name that PostgreSQL allows", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* Catalog.prepare(database)
      const name = `${database.name} "app"; --`
      yield* Effect.acquireRelease(database.run(`CREATE ROLE "${name.replaceAll(`"`, `""`)}"`), () =>
        Effect.andThen(
          database.run(`DROP OWNED BY "${name.replaceAll(`"`, `""`)}"`),
          database.run(`DROP ROLE "${name.replaceAll(`"`, `""`)}"`)
        )
      )
      yield* database.run(Ddl.grants(name))
      const granted = yield* database.run(
        "SELECT has_table_privilege($1, 'systemplane_entries', 'DELETE') AS granted",
        [name]
      )
      assert.deepStrictEqual(granted, [{ granted: true }])
    }).pipe(Effect.scoped)
  )
})

describe("a run-time role that may not change the schema", () => {
  for (const bootstrap of ["ensure", "verify"] as const) {
    it.live(`on an unprepared database gets SchemaMissing with the SQL to run (bootstrap: "${bootstrap}")`, () =>
      withRole((database, role) =>
        Effect.gen(function* () {
          const reason = yield* refusal
          if (reason._tag !== "SchemaMissing") return assert.fail(reason._tag)
          assert.include(reason.parts, "table systemplane_entries")
          if (bootstrap === "ensure") {
            assert.include(reason.message, `the role ${role.user} lacks CREATE on the schema public`)
            assert.notInclude(reason.message, "CREATE TABLE")
          }

          // What it says is what has to be done; then the plane goes live by itself.
          yield* Catalog.runScript(database, reason.sql)
          yield* database.run(Ddl.grants(role.user))
          yield* TenantManager.use((manager) => manager.awaitLive("acme"))
        }).pipe(Effect.provide(plane(database, role, { bootstrap })))
      )
    )

    it.live(`on an outdated database gets SchemaOutdated with the SQL to run (bootstrap: "${bootstrap}")`, () =>
      withRole((database, role) =>
        Effect.gen(function* () {
          yield* Catalog.prepare(database)
          yield* database.run(Ddl.grants(role.user))
          yield* database.run("DROP TRIGGER systemplane_notify_trigger ON systemplane_entries")

          const reason = yield* refusal
          if (reason._tag !== "SchemaOutdated") return assert.fail(reason._tag)
          assert.deepStrictEqual(reason.parts, ["systemplane_notify_trigger"])
          if (bootstrap === "ensure") assert.include(reason.message, "lacks CREATE on the schema public")

          yield* Catalog.runScript(database, reason.sql)
          yield* TenantManager.use((manager) => manager.awaitLive("acme"))
        }).pipe(Effect.provide(plane(database, role, { bootstrap })))
      )
    )
  }

  for (const bootstrap of ["ensure", "verify", "skip"] as const) {
    it.live(`without grants is told which grants to run, and needs no more (bootstrap: "${bootstrap}")`, () =>
      withRole((database, role) =>
        Effect.gen(function* () {
          yield* Catalog.prepare(database)

          // With "skip" nothing looks at the rights, and it is the first read that the server refuses.
          if (bootstrap === "skip") {
            assert.include((yield* Effect.flip(activate)).message, "run Ddl.grants(role)")
          } else {
            const reason = yield* refusal
            if (reason._tag !== "PermissionDenied") return assert.fail(reason._tag)
            assert.strictEqual(reason.sql, Ddl.grants(role.user))
          }

          yield* database.run(Ddl.grants(role.user))
          yield* TenantManager.use((manager) => manager.awaitLive("acme"))
        }).pipe(Effect.provide(plane(database, role, { bootstrap })))
      )
    )
  }

  it.live("a run-time role without all of the grants gets PermissionDenied too", () =>
    withRole((database, role) =>
      Effect.gen(function* () {
        yield* Catalog.prepare(database)
        for (const missing of ["SELECT", "INSERT", "UPDATE", "DELETE"]) {
          yield* database.run(Ddl.grants(role.user))
          yield* database.run(`REVOKE ${missing} ON systemplane_entries FROM ${role.user}`)
          const reason = yield* Effect.provide(refusal, plane(database, role, { bootstrap: "verify" }))
          assert.strictEqual(reason._tag, "PermissionDenied", `without ${missing}`)
        }
      })
    )
  )
})
