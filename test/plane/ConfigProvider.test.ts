/** Code written against Effect's own `Config`, served from the plane. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Config as EffectConfig, Layer, Option, Redacted, Schema } from "effect"
import {
  CollidingNames,
  Config,
  ConfigKey,
  SystemplaneConfigProvider,
  TenantManager,
  withTenant
} from "effect-systemplane"
import * as keys from "../support/keys.ts"
import { ApiKey, Feature, Greeting, Limit } from "../support/keys.ts"
import { until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const actor = { actor: "ada" }

const Tags = ConfigKey.make("texts", "tags", { schema: Schema.Array(Schema.String), defaultValue: ["a", "b"] })
const Nickname = ConfigKey.make("texts", "nickname", { schema: Schema.NullOr(Schema.String), defaultValue: null })

const environment = ConfigProvider.layer(
  ConfigProvider.fromEnv({ env: { PORT: "8080", REQUESTS_PER_MINUTE: "1", NICKNAME: "from the environment" } })
)

const provided = (databases: Readonly<Record<string, TestDatabase.TestDatabase>>) =>
  SystemplaneConfigProvider.layer.pipe(
    Layer.provideMerge(TestPlane.layer(databases, { keys: [...keys.all, Tags, Nickname] })),
    Layer.provideMerge(environment)
  )

const onAcme = <A, E, R>(test: (acme: TestDatabase.TestDatabase) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(TestDatabase.make, (acme) => test(acme).pipe(withTenant("acme"), Effect.provide(provided({ acme }))))

describe("SystemplaneConfigProvider", () => {
  it.live("SystemplaneConfigProvider serves the current tenant's values, read anew by every look-up", () =>
    Effect.gen(function* () {
      const [acme, globex] = yield* Effect.all([TestDatabase.make, TestDatabase.make])
      yield* Effect.gen(function* () {
        const limit = EffectConfig.Int("REQUESTS_PER_MINUTE")
        yield* Config.set(Limit, 7, actor).pipe(withTenant("acme"))
        assert.strictEqual(yield* limit.pipe(withTenant("acme")), 7)
        assert.strictEqual(yield* limit.pipe(withTenant("globex")), 600)
        let seen = 0
        yield* acme.write(Limit.namespace, Limit.key, 8)
        yield* Effect.forkScoped(
          Effect.forever(
            Effect.andThen(
              Effect.map(limit.pipe(withTenant("acme")), (now) => (seen = now)),
              Effect.sleep(5)
            )
          )
        )
        yield* until("a stranger's write is seen", () => seen === 8)
        assert.strictEqual(
          yield* EffectConfig.Int("requestsPerMinute").pipe(EffectConfig.nested("rate-limits"), withTenant("acme")),
          8
        )
      }).pipe(Effect.provide(provided({ acme, globex })))
    })
  )

  it.live("SystemplaneConfigProvider serves structs, arrays, namespaces, secrets and documents as JSON text", () =>
    onAcme(() =>
      Effect.gen(function* () {
        yield* Config.setAll(
          [
            ConfigKey.value(Feature, { enabled: true, percent: 5, note: "x" }),
            ConfigKey.value(ApiKey, "s3cret"),
            ConfigKey.value(Greeting, "")
          ],
          actor
        )
        const document = Schema.Struct({
          enabled: Schema.Boolean,
          percent: Schema.Int,
          note: Schema.optionalKey(Schema.String)
        })
        const expected = { enabled: true, percent: 5, note: "x" }
        assert.deepStrictEqual(yield* EffectConfig.schema(Schema.toCodecStringTree(document), "CHECKOUT"), expected)
        assert.deepStrictEqual(yield* EffectConfig.schema(Schema.fromJsonString(document), "CHECKOUT"), expected)
        assert.isTrue(yield* EffectConfig.Boolean("ENABLED").pipe(EffectConfig.nested("checkout")))
        assert.deepStrictEqual(yield* EffectConfig.schema(Schema.Array(Schema.String), "TAGS"), ["a", "b"])
        assert.deepStrictEqual(
          yield* EffectConfig.all({
            limit: EffectConfig.Int("requests-per-minute"),
            burst: EffectConfig.Int("burst")
          }).pipe(EffectConfig.nested("rate-limits")),
          { limit: 600, burst: 20 }
        )
        assert.deepStrictEqual(
          yield* EffectConfig.schema(
            Schema.Struct({ requestsPerMinute: Schema.FiniteFromString, burst: Schema.FiniteFromString }),
            "RATE_LIMITS"
          ),
          { requestsPerMinute: 600, burst: 20 }
        )
        assert.deepStrictEqual(yield* EffectConfig.schema(Schema.Record(Schema.String, Schema.String), "secrets"), {
          "api-key": "s3cret"
        })
        const secret = yield* EffectConfig.Redacted("API_KEY")
        assert.deepStrictEqual([Redacted.value(secret), String(secret)], ["s3cret", "<redacted>"])
        assert.strictEqual(yield* EffectConfig.String("GREETING"), "", "an empty text is a value")
      })
    )
  )

  it.live("SystemplaneConfigProvider asks the former provider only for what is no key's name", () =>
    onAcme(() =>
      Effect.gen(function* () {
        assert.strictEqual(yield* EffectConfig.Port("PORT"), 8080)
        assert.strictEqual(yield* EffectConfig.Int("REQUESTS_PER_MINUTE"), 600, "not the environment's 1")
        assert.deepStrictEqual(yield* EffectConfig.option(EffectConfig.String("NICKNAME")), Option.none())
        assert.strictEqual(yield* EffectConfig.String("NICKNAME").pipe(EffectConfig.withDefault("none")), "none")
        assert.deepStrictEqual(
          yield* EffectConfig.schema(Schema.Struct({ PORT: Schema.String, GREETING: Schema.String })),
          { PORT: "8080", GREETING: "hello" }
        )
      })
    )
  )

  it.live("G5: the ConfigProvider fails if no tenant is set or the plane cannot answer, even with a default", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const limit = EffectConfig.Int("REQUESTS_PER_MINUTE").pipe(EffectConfig.withDefault(3))
        const missing = yield* Effect.flip(limit)
        assert.include(missing.message, "withTenant")
        assert.strictEqual(yield* EffectConfig.Port("PORT"), 8080)
        const error = yield* Effect.flip(limit.pipe(withTenant("nobody")))
        assert.include(error.message, "There is no tenant")
        assert.strictEqual(yield* limit.pipe(withTenant("acme")), 600)
        assert.isTrue(Option.isSome(yield* TenantManager.use((manager) => manager.status("acme"))))
      }).pipe(Effect.provide(provided({ acme })))
    })
  )

  it.live("SystemplaneConfigProvider refuses two keys of one name, unless names are namespaced", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const OtherGreeting = ConfigKey.make("mail", "greeting", { schema: Schema.String, defaultValue: "dear" })
      const plane = TestPlane.layer({ acme }, { keys: [Greeting, OtherGreeting] })
      const read = EffectConfig.all([EffectConfig.String("TEXTS_GREETING"), EffectConfig.String("MAIL_GREETING")])
      const refused = yield* Effect.flip(
        Effect.provide(read, SystemplaneConfigProvider.layer.pipe(Layer.provide(plane)))
      )
      assert.instanceOf(refused, CollidingNames)
      const both = read.pipe(
        withTenant("acme"),
        Effect.provide(SystemplaneConfigProvider.layerNamespaced.pipe(Layer.provide(plane)))
      )
      assert.deepStrictEqual(yield* both, ["hello", "dear"])
    })
  )
})
