/** Keys whose values are documents: they are stored as JSON, and read as what their schema makes of it. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Redacted, Schema } from "effect"
import { Config, ConfigKey, withTenant } from "effect-systemplane"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const actor = { actor: "ada" }

const Backend = Schema.Union([
  Schema.TaggedStruct("Local", { path: Schema.String }),
  Schema.TaggedStruct("Remote", { host: Schema.String, port: Schema.optionalKey(Schema.Int) })
])

const storage = ConfigKey.group("storage", {
  backend: { schema: Backend, defaultValue: { _tag: "Local", path: "/tmp" } },
  timeout: { schema: Schema.DurationFromMillis, defaultValue: Duration.seconds(5) },
  since: { schema: Schema.DateTimeUtcFromString, defaultValue: DateTime.makeUnsafe("2026-01-01T00:00:00Z") },
  token: { schema: Schema.RedactedFromValue(Schema.String), defaultValue: Redacted.make("none"), secret: true },
  hosts: { schema: Schema.Record(Schema.String, Schema.Array(Schema.Int)), defaultValue: {} }
})

describe("typed documents", () => {
  it.live("typed documents are stored encoded, and come back as a group of what their schemas decode", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const { backend, hosts, since, timeout, token } = storage.keys
        const until = DateTime.makeUnsafe("2026-11-25T08:00:00Z")
        yield* Config.setAll(
          [
            ConfigKey.value(backend, { _tag: "Remote", host: "db" }),
            ConfigKey.value(timeout, Duration.minutes(1)),
            ConfigKey.value(since, until),
            ConfigKey.value(token, Redacted.make("s3cret")),
            ConfigKey.value(hosts, { a: [1, 2] })
          ],
          actor
        )
        const rows = yield* acme.run("SELECT key, value FROM systemplane_entries ORDER BY key")
        assert.deepStrictEqual(
          rows.map(({ value }) => value),
          [{ _tag: "Remote", host: "db" }, { a: [1, 2] }, "2026-11-25T08:00:00.000Z", 60_000, "s3cret"]
        )
        const values = yield* Config.getGroup(storage)
        assert.deepStrictEqual(values.backend, { _tag: "Remote", host: "db" })
        assert.strictEqual(Duration.toSeconds(values.timeout), 60)
        assert.isTrue(DateTime.Equivalence(values.since, until))
        assert.strictEqual(Redacted.value(values.token), "s3cret")
        assert.notInclude(String(values.token), "s3cret")
        assert.deepStrictEqual(values.hosts, { a: [1, 2] })
        assert.isTrue(Object.isFrozen(values.hosts.a), "a document is nobody's to change")
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme }, { keys: storage.all })))
    })
  )

  it.live("change as a whole, and only into what the schema allows", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const { backend, timeout } = storage.keys
        yield* Config.set(backend, { _tag: "Remote", host: "db", port: 5432 }, actor)
        yield* Config.set(backend, { _tag: "Remote", host: "db" }, actor)
        assert.deepStrictEqual(yield* Config.get(backend), { _tag: "Remote", host: "db" }, "no field is left behind")
        assert.deepStrictEqual(yield* Config.get("storage", "backend"), { _tag: "Remote", host: "db" })
        for (const wrong of [{ _tag: "Remote" }, { _tag: "Elsewhere" }, { _tag: "Remote", host: "db", port: "x" }]) {
          const { reason } = yield* Effect.flip(Config.set(backend, wrong as any, actor))
          assert.strictEqual(reason._tag, "InvalidValue")
        }
        const revision = yield* acme.write("storage", "timeout", 250)
        yield* TestDatabase.eventually(
          "a stranger's JSON is decoded",
          Effect.map(Config.entry(timeout), (entry) => entry.revision === revision)
        )
        assert.strictEqual(Duration.toMillis(yield* Config.get(timeout)), 250)
        assert.deepStrictEqual(yield* Config.get("storage", "timeout"), 250)
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme }, { keys: storage.all })))
    })
  )
})
