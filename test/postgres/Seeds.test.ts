import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import {
  ChangeHistory,
  Config,
  ConfigError,
  ConfigKey,
  PgConnector,
  SystemplaneLive,
  type SystemplaneOptions,
  TenantManager,
  withTenant
} from "effect-systemplane"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"

const limitOf = (defaultValue: number) =>
  ConfigKey.make("rate-limits", "requests-per-minute", { schema: Schema.Int, defaultValue })

const Greeting = ConfigKey.make("texts", "greeting", { schema: Schema.String, defaultValue: "hello" })

/** A process with these keys, for as long as the effect runs. */
const asProcess = (
  acme: { readonly url: TestDatabase.TestDatabase["url"] },
  keys: ReadonlyArray<ConfigKey.Any>,
  options: Pick<SystemplaneOptions, "bootstrap" | "process"> = {}
) =>
  Effect.provide(
    SystemplaneLive({ keys, tenants: ["acme"], boot: "require", ...options }).pipe(
      Layer.provide(PgConnector.layerRecord({ acme: { url: acme.url } }))
    )
  )

const live = Effect.map(
  TenantManager.use((manager) => manager.awaitLive("acme")),
  () => true
)

const beyond = ({ key, namespace }: ConfigKey.Any, part: string) => ({
  namespace,
  key,
  problem: `${part} has a character that the encoding of the database cannot hold; use a database in UTF8`
})

describe("seeds", () => {
  it.live("G7: a new default in the code is in force on a database that an older version seeded", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const older = limitOf(600)
      const newer = limitOf(900)
      assert.strictEqual(yield* Config.get(older).pipe(withTenant("acme"), asProcess(acme, [older])), 600)
      yield* Effect.gen(function* () {
        assert.deepInclude(yield* Config.entry(newer), { value: 900, revision: 0, source: "default" })
        // The row still says 600, and a guard of "nothing is stored" writes over it.
        assert.deepInclude(yield* Config.set(newer, 5, { actor: "ada", ifRevision: 0 }), { value: 5, source: "stored" })
        assert.deepInclude(yield* Config.remove(newer, { actor: "ada" }), { value: 900, source: "default" })
      }).pipe(withTenant("acme"), asProcess(acme, [newer]))
      // The removed key is seeded anew by whichever version starts next, and no version is bound by that row.
      assert.strictEqual(yield* Config.get(older).pipe(withTenant("acme"), asProcess(acme, [older])), 600)
      assert.strictEqual(yield* Config.get(newer).pipe(withTenant("acme"), asProcess(acme, [newer])), 900)
    }).pipe(Effect.scoped)
  )

  it.live("G7: an operator who stores the very value of a seed has stored it", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const older = limitOf(600)
      const newer = limitOf(900)
      const stored = yield* Config.set(older, 600, { actor: "ada" }).pipe(withTenant("acme"), asProcess(acme, [older]))
      assert.deepInclude(stored, { value: 600, source: "stored", updatedBy: "ada" })
      assert.isAbove(stored.revision, 0)
      assert.deepInclude(yield* Config.entry(newer).pipe(withTenant("acme"), asProcess(acme, [newer])), {
        value: 600,
        source: "stored"
      })
    }).pipe(Effect.scoped)
  )

  it.live("G7: a row whose writer is only named as the seeder, and a seed changed by hand, are stored values", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const Limit = limitOf(600)
      yield* Config.get(Limit).pipe(withTenant("acme"), asProcess(acme, [Limit, Greeting]))
      yield* acme.run("UPDATE systemplane_entries SET value = '700' WHERE key = 'requests-per-minute'")
      yield* acme.run("UPDATE systemplane_entries SET updated_by = 'systemplane.manager' WHERE key = 'greeting'")
      yield* Effect.gen(function* () {
        assert.deepInclude(yield* Config.entry(Limit), { value: 700, source: "stored" })
        assert.deepInclude(yield* Config.entry(Greeting), { value: "hello", source: "stored" })
      }).pipe(withTenant("acme"), asProcess(acme, [Limit, Greeting]))
    }).pipe(Effect.scoped)
  )

  it.live("G7: a default that a constraint or a trigger refuses stops neither the others nor the tenant", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const [Limit, Burst] = [limitOf(600), ConfigKey.make("a", "burst", { schema: Schema.Int, defaultValue: 20 })]
      yield* Catalog.prepare(acme)
      yield* acme.run("ALTER TABLE systemplane_entries ADD CHECK (value::text NOT LIKE '%hello%')")
      yield* acme.run(
        `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.key = 'burst' THEN RAISE EXCEPTION 'no bursts'; END IF; RETURN NEW; END $$`
      )
      yield* acme.run(
        "CREATE TRIGGER refuse BEFORE INSERT ON systemplane_entries FOR EACH ROW EXECUTE FUNCTION refuse()"
      )
      yield* Effect.gen(function* () {
        assert.isTrue(yield* live)
        assert.deepStrictEqual(
          [yield* Config.get(Greeting), yield* Config.get(Burst), yield* Config.get(Limit)],
          ["hello", 20, 600]
        )
      }).pipe(withTenant("acme"), asProcess(acme, [Greeting, Burst, Limit]))
      assert.deepStrictEqual(
        (yield* Catalog.rows(acme)).map(({ key }) => key),
        ["requests-per-minute"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("G7: a default that the database's encoding cannot hold stops neither the others nor the tenant", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.makeEncoded("LATIN1")
      const Euro = ConfigKey.make("texts", "euro", { schema: Schema.String, defaultValue: "€" })
      const Named = ConfigKey.make("texts", "日本", { schema: Schema.Int, defaultValue: 1 })
      const Placed = ConfigKey.make("日本", "limit", { schema: Schema.Int, defaultValue: 2 })
      const Accented = ConfigKey.make("texts", "é", { schema: Schema.Int, defaultValue: 3 })
      const Pin = ConfigKey.make("texts", "pin", {
        schema: Schema.String,
        defaultValue: "",
        secret: true,
        description: "日本"
      })
      const keys = [Greeting, Euro, Named, Placed, Accented]
      const values = Effect.map(Config.snapshot, (snapshot) => keys.map((key: ConfigKey.Any) => snapshot.get(key)))
      yield* Effect.gen(function* () {
        assert.isTrue(yield* live)
        assert.deepStrictEqual(yield* values, ["hello", "€", 1, 2, 3])
        yield* acme.run("UPDATE systemplane_entries SET value = '4' WHERE key = 'é'")
        yield* TestDatabase.eventually(
          "the change is there",
          Effect.map(Config.get(Accented), (value) => value === 4)
        )
        yield* Config.set(Greeting, "good day", { actor: "test" })
        const refused = yield* Effect.flip(Config.set(Named, 5, { actor: "test" }))
        assert.deepStrictEqual(
          refused.reason,
          new ConfigError.InvalidValue({ problems: [beyond(Named, "the key's name")] })
        )
        const written = [ConfigKey.value(Greeting, "10 €"), ConfigKey.value(Accented, 6)]
        assert.deepStrictEqual(
          (yield* Effect.flip(Config.setAll(written, { actor: "test" }))).reason,
          new ConfigError.InvalidValue({ problems: [beyond(Greeting, "it")] })
        )
        assert.strictEqual(
          (yield* Effect.flip(Config.setAll(written.slice(1), { actor: "日本" }))).reason._tag,
          "InvalidActor"
        )
        assert.strictEqual(
          (yield* Effect.flip(Config.setAll(written.slice(1), { actor: "test", reason: "日本" }))).reason._tag,
          "InvalidChange"
        )
        assert.strictEqual(yield* Config.get(Accented), 4)
        // Reads that go to the database, of all keys and of one that no row can have.
        yield* Effect.flatMap(TenantManager, (manager) => manager.suspend("acme"))
        assert.deepStrictEqual(yield* values, ["good day", "€", 1, 2, 4])
        assert.strictEqual(yield* Config.get(Accented), 4)
        assert.strictEqual(yield* Config.get(Named), 1)
        // Nothing was recorded of a name that the database cannot hold.
        assert.deepStrictEqual((yield* ChangeHistory.ofKey(Named)).records, [])
        assert.deepStrictEqual((yield* ChangeHistory.list({ actor: "日本" })).changes, [])
        const back = ChangeHistory.rollback(Placed, { to: 1, actor: "test" })
        assert.strictEqual((yield* Effect.flip(back)).reason._tag, "UnknownRevision")
        // Each key is declared with what the database can hold of it: the history keeps no value of a secret.
        yield* acme.write(Pin.namespace, Pin.key, "1234")
        assert.deepStrictEqual(yield* acme.run("SELECT value FROM systemplane_history WHERE key = 'pin'"), [
          { value: null }
        ])
        const declared = yield* acme.run(
          `SELECT key, secret, description, declared_by FROM systemplane_keys ORDER BY key COLLATE "C"`
        )
        assert.deepStrictEqual(declared, [
          { key: "euro", secret: false, description: null, declared_by: "%E6%97%A5@1" },
          { key: "greeting", secret: false, description: null, declared_by: "%E6%97%A5@1" },
          { key: "pin", secret: true, description: null, declared_by: "%E6%97%A5@1" },
          { key: "é", secret: false, description: null, declared_by: "%E6%97%A5@1" }
        ])
      }).pipe(withTenant("acme"), asProcess(acme, [...keys, Pin], { process: { application: "日", version: "1" } }))
    }).pipe(Effect.scoped)
  )

  it.live("G7: a read-only database keeps no tenant from being live", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Catalog.prepare(acme)
      yield* acme.run(`ALTER DATABASE "${acme.name}" SET default_transaction_read_only = on`)
      yield* Effect.gen(function* () {
        assert.isTrue(yield* live)
        assert.strictEqual(yield* Config.get(Greeting), "hello")
      }).pipe(withTenant("acme"), asProcess(acme, [Greeting], { bootstrap: "verify" }))
    }).pipe(Effect.scoped)
  )
})
