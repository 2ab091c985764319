import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { ConfigKey, KeyRegistry } from "effect-systemplane"

const text = (namespace: string, key: string, defaultValue = "x") =>
  ConfigKey.make(namespace, key, { schema: Schema.String, defaultValue })

const [a, b, c] = [text("n", "a"), text("m", "a"), text("n", "c")]

describe("a registry", () => {
  it.effect("a registry gives each key a slot in the order of declaration, once", () =>
    Effect.gen(function* () {
      const registry = yield* KeyRegistry.make([a, b, a, c])
      assert.deepStrictEqual(registry.keys, [a, b, c])
      assert.deepStrictEqual([a, b, c].map(registry.slotOf), [0, 1, 2])
    })
  )

  it.effect("a registry knows a key by itself, not by its name: another one of that name was not declared", () =>
    Effect.gen(function* () {
      const registry = yield* KeyRegistry.make([a])
      assert.isUndefined(registry.slotOf(text("n", "a")))
    })
  )

  it.effect("a registry finds keys by both names", () =>
    Effect.gen(function* () {
      const registry = yield* KeyRegistry.make([a, b, c])
      assert.deepStrictEqual(
        [registry.find("n", "a"), registry.find("m", "a"), registry.find("m", "c")],
        [a, b, undefined]
      )
      assert.deepStrictEqual(registry.inNamespace("n"), [a, c])
      assert.deepStrictEqual(registry.inNamespace("constructor"), [])
      assert.isUndefined(registry.find("n", "constructor"))
    })
  )

  it.effect("a registry keeps names apart that read the same once they are joined", () =>
    Effect.gen(function* () {
      const registry = yield* KeyRegistry.make([text("a/b", "c"), text("a", "b/c")])
      assert.strictEqual(registry.keys.length, 2)
    })
  )

  it.effect("a registry names the key that was declared twice, and what to do", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(KeyRegistry.make([a, b, text("m", "a", "y")]))
      assert.deepInclude(error, { _tag: "DuplicateKey", namespace: "m", key: "a" })
      assert.include(error.message, "declare it once and import it where it is used")
    })
  )

  it.effect("a registry seeds defaults in their encoded form", () =>
    Effect.gen(function* () {
      const limit = ConfigKey.make("n", "limit", { schema: Schema.BigIntFromString, defaultValue: 7n })
      const registry = yield* KeyRegistry.make([limit])
      assert.deepStrictEqual(registry.seeds, [{ namespace: "n", key: "limit", json: `"7"` }])
      assert.deepStrictEqual(registry.unencodable, [])
    })
  )

  it.effect("a registry says why a default cannot be stored, without showing it, and still declares the key", () =>
    Effect.gen(function* () {
      const instant = ConfigKey.make("n", "instant", { schema: Schema.Unknown, defaultValue: { at: [new Date(0)] } })
      const registry = yield* KeyRegistry.make([text("n", "zero", "canary\0"), instant, a])
      assert.deepStrictEqual(registry.unencodable, [
        { namespace: "n", key: "zero", problem: "the value contains U+0000, which jsonb cannot hold" },
        { namespace: "n", key: "instant", problem: ".at[0] is not plain JSON" }
      ])
      assert.deepStrictEqual(
        registry.seeds.map(({ key }) => key),
        ["a"]
      )
      assert.strictEqual(registry.slotOf(instant), 1)
    })
  )
})
