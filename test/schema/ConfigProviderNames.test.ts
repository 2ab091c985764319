import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { CollidingNames, ConfigKey } from "effect-systemplane"
import * as ConfigNames from "../../src/schema/ConfigProviderNames.ts"

const keyOf = (namespace: string, key: string) =>
  ConfigKey.make(namespace, key, { schema: Schema.Int, defaultValue: 1 })

const limit = keyOf("rate-limits", "requests-per-minute")
const burst = keyOf("rate-limits", "burst")

const finder = (keys: ReadonlyArray<ConfigKey.Any>, short = true) => Result.getOrThrow(ConfigNames.make(keys, short))
const keyAt = (find: ConfigNames.Find, ...path: ReadonlyArray<string | number>) => {
  const found = find(path)
  return found?._tag === "Key" ? [found.key, ...found.rest] : found
}

describe("the names of keys for effect/Config", () => {
  it("the names of keys for effect/Config are constant case, camel case, kebab case or a path", () => {
    const find = finder([limit, burst])
    for (const path of [
      ["REQUESTS_PER_MINUTE"],
      ["requestsPerMinute"],
      ["requests-per-minute"],
      ["RATE_LIMITS_REQUESTS_PER_MINUTE"],
      ["rate-limits", "requests-per-minute"],
      ["RATE_LIMITS", "requestsPerMinute"],
      ["rate", "limits", "requests", "per", "minute"]
    ]) {
      assert.deepStrictEqual(keyAt(find, ...path), [limit], path.join("/"))
    }
    assert.deepStrictEqual(keyAt(find, "burst"), [burst])
    assert.isUndefined(keyAt(find, "REQUESTS"))
    assert.isUndefined(keyAt(find, "MINUTE"))
    assert.isUndefined(keyAt(find, "PORT"))
  })

  it("the names of keys for effect/Config have the rest of the path lead into the value, and the longest name win", () => {
    const document = keyOf("shop", "checkout")
    const inner = keyOf("checkout", "mode")
    const find = finder([document, inner], false)
    assert.deepStrictEqual(keyAt(find, "shop", "checkout", "tags", 0), [document, "tags", 0])
    const [short, long] = [keyOf("a", "b"), keyOf("a", "b-c")]
    const nested = finder([short, long])
    assert.deepStrictEqual(keyAt(nested, "a", "b", "c"), [long])
    assert.deepStrictEqual(keyAt(nested, "a", "b", "d"), [short, "d"])
  })

  it("the names of keys for effect/Config are a record of the keys for a namespace, and of all names for the root", () => {
    const find = finder([limit, burst])
    assert.deepStrictEqual(find(["rateLimits"]), { _tag: "Names", names: ["requests-per-minute", "burst"] })
    assert.deepStrictEqual(find([]), {
      _tag: "Names",
      names: ["RATE_LIMITS_REQUESTS_PER_MINUTE", "REQUESTS_PER_MINUTE", "RATE_LIMITS_BURST", "BURST"]
    })
  })

  it("the names of keys for effect/Config do not depend on how digits and other alphabets are written", () => {
    const find = finder([keyOf("http2", "v2x"), keyOf("n", "日本")])
    assert.isDefined(keyAt(find, "V2X"))
    assert.isDefined(keyAt(find, "HTTP2_V2X"))
    assert.isDefined(keyAt(find, "日本"))
  })

  it("names are refused if two keys, or a key and a namespace, share one", () => {
    const collision = (keys: ReadonlyArray<ConfigKey.Any>, short = true) =>
      Result.getOrThrow(Result.flip(ConfigNames.make(keys, short)))
    const enabled = [keyOf("features", "enabled"), keyOf("billing", "enabled")]
    const refused = collision(enabled)
    assert.instanceOf(refused, CollidingNames)
    assert.include(refused.message, "features/enabled and billing/enabled are both named ENABLED")
    assert.include(refused.message, "layerNamespaced")
    assert.isTrue(Result.isSuccess(ConfigNames.make(enabled, false)))
    assert.include(collision([keyOf("a", "b-c"), keyOf("a-b", "c")], false).message, "both named A_B_C")
    assert.include(collision([keyOf("x", "limits"), keyOf("limits", "y")]).message, "the namespace limits")
    // One key twice is one key, and short and full names of one key may be the same.
    assert.isTrue(Result.isSuccess(ConfigNames.make([limit, limit], true)))
  })
})

describe("a part of a value", () => {
  const value = { maxRetries: 3, tags: ["a", { deep: null }], odd: { a_b: 1, aB: 2 } }
  it("a part of a value is found by the names of fields, however they are written, and by indexes", () => {
    assert.strictEqual(ConfigNames.within(value, []), value)
    assert.strictEqual(ConfigNames.within(value, ["maxRetries"]), 3)
    assert.strictEqual(ConfigNames.within(value, ["MAX_RETRIES"]), 3)
    assert.strictEqual(ConfigNames.within(value, ["tags", 0]), "a")
    assert.strictEqual(ConfigNames.within(value, ["tags", "1", "deep"]), null)
    assert.strictEqual(ConfigNames.within(value, ["odd", "aB"]), 2)
  })
  it("a part of a value is missing if there is no such part, or if two fields could be meant", () => {
    for (const path of [["nope"], ["maxRetries", "x"], ["tags", 9], ["tags", "x"], ["odd", "A_B"], ["toString"]]) {
      assert.isUndefined(ConfigNames.within(value, path), path.join("/"))
    }
  })
})
