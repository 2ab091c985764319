/** What an administrator sets for a role or a database, and what a session of the library sets for itself. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import {
  Config,
  ConfigKey,
  Connector,
  PgConnector,
  SystemplaneLive,
  TenantManager,
  withTenant
} from "effect-systemplane"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import { acme } from "./TestStore.ts"

const set = (database: TestDatabase.TestDatabase, setting: string) =>
  database.run(`ALTER DATABASE "${database.name}" SET ${setting}`)

const activate = TenantManager.use((manager) => manager.activate("acme"))

/**
 * They change how text is written or read, how long a session may wait, and what a statement may do without saying so.
 */
const harmless = [
  "array_nulls = off",
  "standard_conforming_strings = off",
  "bytea_output = escape",
  "DateStyle = 'SQL, DMY'",
  "IntervalStyle = sql_standard",
  "TimeZone = 'Asia/Kathmandu'",
  "extra_float_digits = -15",
  "client_encoding = LATIN1",
  "row_security = off",
  "transform_null_equals = on",
  "quote_all_identifiers = on",
  "idle_session_timeout = '500ms'",
  "idle_in_transaction_session_timeout = '500ms'",
  "statement_timeout = '5s'",
  "transaction_timeout = '20ms'",
  "default_transaction_isolation = serializable"
]

const refused = [
  ["search_path = ''", "no schema of the search_path exists, or the role may use none"],
  ["search_path = pg_catalog, public", "or the first is pg_catalog"],
  ["default_transaction_read_only = on", "unset default_transaction_read_only"]
] as const

describe("settings of a role or a database", () => {
  it.live("odd settings do no harm: a tenant is prepared, written, followed, and keeps its sessions", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const known = (yield* database.run("SELECT name FROM pg_settings")).map(({ name }) => name)
      for (const setting of harmless) {
        // Servers before 17 know no transaction_timeout.
        if (known.includes(setting.split(" ")[0])) yield* set(database, setting)
      }
      yield* Effect.gen(function* () {
        yield* activate
        yield* Config.set(Limit, 7, { actor: "ada" })
        yield* Config.setAll([ConfigKey.value(Limit, 8)], { actor: "back\\slash" })
        assert.deepInclude(yield* Config.entry(Limit), { value: 8, updatedBy: "back\\slash" })
        yield* database.write(Limit.namespace, Limit.key, 9)
        yield* TestDatabase.eventually(
          "seen",
          Effect.map(Config.get(Limit), (value) => value === 9)
        )
        // Longer than the server would let them be idle.
        const before = yield* sessions(database)
        const [waited] = yield* database.run("SELECT pg_sleep(1.2)")
        assert.isDefined(waited)
        assert.includeMembers(yield* sessions(database), before)
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme: database }, { tenants: [] })))
    }).pipe(Effect.scoped)
  )

  it.live("settings with which a tenant cannot be prepared are named", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      for (const [setting, words] of refused) {
        yield* set(database, setting)
        const error = yield* Effect.flip(activate).pipe(
          Effect.provide(TestPlane.layer({ acme: database }, { tenants: [] }))
        )
        assert.include(error.message, words)
        yield* database.run(`ALTER DATABASE "${database.name}" RESET ALL`)
      }
    }).pipe(Effect.scoped)
  )
})

const sessions = (database: TestDatabase.TestDatabase) =>
  Effect.map(database.sessions, (sessions) => sessions.map(({ pid }) => pid))

describe("what a session sets for itself", () => {
  it.live("a listening session holds a lock that others see by its key, until it ends", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const held = database.run(
        `SELECT ((l.classid::int8 << 32) | l.objid::int8)::text AS key, l.mode FROM pg_locks AS l
         WHERE l.locktype = 'advisory' AND l.granted
           AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())`
      )
      const scope = yield* Scope.make()
      const session = Effect.flatMap(Connector, (connector) => connector.session(acme))
      const sessions = yield* Effect.all([session, session]).pipe(
        Scope.provide(scope),
        Effect.provide(PgConnector.layerRecord({ acme: { url: database.url } }))
      )
      const keys = sessions.map(({ presence }) => presence)
      assert.lengthOf(new Set(keys), 2)
      assert.sameMembers(
        (yield* held).map(({ key, mode }) => `${key} ${mode}`),
        keys.map((key) => `${key} ShareLock`)
      )
      yield* Scope.close(scope, Exit.void)
      yield* TestDatabase.eventually(
        "the locks are gone",
        Effect.map(held, (locks) => locks.length === 0)
      )
    }).pipe(Effect.scoped)
  )

  it.live("G12: reads behind a lock hold no more backends than the pool has, and leave none, behind a pooler too", () =>
    Effect.all([behindALock(true), behindALock(false)], { concurrency: "unbounded" })
  )
})

/**
 * Without prepared statements, as a pooler needs it, no setting bounds the wait: the process cancels the statements.
 */
const behindALock = (prepare: boolean) =>
  Effect.gen(function* () {
    const database = yield* TestDatabase.make
    const counted = Effect.map(database.sessions, (sessions) => sessions.length)
    const scope = yield* Scope.make()
    const plane = yield* Layer.build(
      SystemplaneLive({ keys: keys.all, tenants: ["acme"] }).pipe(
        Layer.provide(PgConnector.layerRecord({ acme: { url: database.url, prepare } })),
        Layer.provide(TestPlane.silent)
      )
    ).pipe(Scope.provide(scope))
    yield* TenantManager.use((manager) => manager.suspend("acme")).pipe(Effect.provide(plane))
    const read = (key: (typeof keys.all)[number]) =>
      Config.get(key.namespace, key.key).pipe(withTenant("acme"), Effect.provide(plane), Effect.exit)
    yield* database.transaction(
      Effect.gen(function* () {
        yield* database.run("LOCK TABLE systemplane_entries IN ACCESS EXCLUSIVE MODE")
        const exits = yield* Effect.forEach(keys.all, read, { concurrency: "unbounded" })
        assert.isTrue(exits.every(Exit.isFailure))
        assert.isAtMost(yield* counted, 4)
        yield* Scope.close(scope, Exit.void)
        yield* TestDatabase.eventually(
          "no backend is left",
          Effect.map(counted, (found) => found === 0)
        )
      })
    )
  }).pipe(Effect.scoped)
