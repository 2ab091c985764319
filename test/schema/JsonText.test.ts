import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as JsonText from "../../src/schema/JsonText.ts"

const problemOf = (value: unknown) =>
  Result.match(JsonText.encode(value), { onSuccess: () => "none", onFailure: (problem) => problem })

describe("JsonText.encode", () => {
  it("JsonText.encode writes what jsonb can hold", () => {
    const value = { a: [1, -0.5, true, null, "é 👍 \n"], b: {}, c: [] }
    assert.deepStrictEqual(JsonText.encode(value), Result.succeed(JSON.stringify(value)))
  })

  it("JsonText.encode refuses what it cannot, and says where", () => {
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    for (const [value, problem] of [
      [Number.NaN, "the value is not a finite number"],
      [{ a: [1, Number.POSITIVE_INFINITY] }, ".a[1] is not a finite number"],
      [undefined, "the value is undefined, which JSON does not have"],
      [{ a: undefined }, ".a is undefined, which JSON does not have"],
      [{ a: 1n }, ".a is bigint, which JSON does not have"],
      [new Date(0), "the value is not plain JSON"],
      [{ a: "x\0" }, ".a contains U+0000, which jsonb cannot hold"],
      [{ "x\0": 1 }, "a name in the value contains U+0000, which jsonb cannot hold"],
      [["\ud83d"], "[0] contains half of a surrogate pair, which jsonb cannot hold"],
      [new Array(1), "[0] is undefined, which JSON does not have"],
      [{ a: { "b c": [{ d: "\udc00x" }] } }, ".a.b c[0].d contains half of a surrogate pair, which jsonb cannot hold"],
      [{ a: { "\ud800": 1 } }, "a name in .a contains half of a surrogate pair, which jsonb cannot hold"],
      [{ toJSON: () => 1 }, ".toJSON is function, which JSON does not have"],
      [{ a: new Map([["canary", 1]]) }, ".a is not plain JSON"],
      [cycle, ".self refers to itself"]
    ] as const) {
      assert.strictEqual(problemOf(value), problem)
    }
  })

  it("JsonText.encode takes the same object twice, which is no cycle", () => {
    const part = { a: 1 }
    assert.strictEqual(problemOf([part, part]), "none")
  })
})
