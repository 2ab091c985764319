import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { ConfigKey } from "../../src/schema/ConfigKey.ts"
import * as WriteRequest from "../../src/schema/WriteRequest.ts"

const Text = ConfigKey.make("a", "text", { schema: Schema.String, defaultValue: "" })
const Anything = ConfigKey.make("a", "json", { schema: Schema.Json, defaultValue: null })

const problemOf = <A>(key: ConfigKey<A>, value: A) =>
  Result.match(WriteRequest.ofAssignments([ConfigKey.value(key, value)], { actor: "ada" }), {
    onFailure: ({ reason }) => reason.message,
    onSuccess: () => undefined
  })

const nested = (levels: number): Schema.Json => {
  let value: Schema.Json = 1
  for (let i = 0; i < levels; i++) value = [value]
  return value
}

describe("what a caller says of a change", () => {
  const reasonOf = (given: unknown) =>
    Result.match(Result.flatMap(WriteRequest.optionsOf(given), WriteRequest.changeOf), {
      onFailure: ({ reason }) => reason._tag,
      onSuccess: () => "accepted"
    })
  const throwing = new Proxy({}, { get: () => assert.fail("trap") })

  it("G7: may not be the mark of a seed: the value would count as the code's default", () => {
    for (const actor of ["systemplane.manager:0123456789abcdef", "systemplane.manager:"]) {
      assert.strictEqual(reasonOf({ actor }), "InvalidActor", actor)
    }
    assert.strictEqual(reasonOf({ actor: "systemplane.manager" }), "accepted")
  })

  it("what a caller says of a change is text that a table can show, of a bounded length, and never a defect", () => {
    for (const actor of [
      "a\nb",
      "\x1b[31m",
      "\u202eada",
      "\u2028",
      "\u200b",
      "\0",
      "\ud800",
      "a".repeat(257),
      5,
      null,
      ["a"]
    ]) {
      assert.strictEqual(reasonOf({ actor }), "InvalidActor", String(actor))
    }
    for (const given of [undefined, null, 5, "ada", {}]) assert.strictEqual(reasonOf(given), "InvalidActor")
    for (const reason of ["\x1b[31m", "\0", "\ud800", "a".repeat(4_001), 5, null]) {
      assert.strictEqual(reasonOf({ actor: "ada", reason }), "InvalidChange", String(reason))
    }
    for (const changeId of ["42", "a".repeat(1_000_000), Symbol("id"), ["6f9c1c5e-5d2b-4c39-a8a4-6a1b2c3d4e5f"]]) {
      assert.strictEqual(reasonOf({ actor: "ada", changeId }), "InvalidChange")
    }
    assert.strictEqual(reasonOf(throwing), "InvalidChange")
    assert.strictEqual(reasonOf({ actor: "José 李 (on call)", reason: "two\r\n\tlines" }), "accepted")
    assert.strictEqual(reasonOf({ actor: "a".repeat(256), reason: "a".repeat(4_000) }), "accepted")
  })
})

describe("a value to be written", () => {
  it("G6: a value that no process would put in force is refused: too long, or too deep", () => {
    assert.isUndefined(problemOf(Text, "a".repeat(1_048_574)))
    assert.include(problemOf(Text, "a".repeat(1_048_575)), "bytes long, and 1048576 are the most")
    assert.include(problemOf(Text, "é".repeat(524_288)), "bytes long")
    assert.include(
      problemOf(
        Anything,
        Array.from({ length: 400_000 }, () => 1)
      ),
      "bytes long"
    )
    // The server writes no exponents, and puts no space into a text.
    for (const [number, length] of [
      [1e300, 301],
      [-1.5e300, 302],
      [1e-300, 302],
      [1.5e-300, 303]
    ] as const) {
      const fitting = Math.floor(1_048_576 / (length + 2))
      assert.isUndefined(problemOf(Anything, Array<number>(fitting).fill(number)), `${number}`)
      assert.include(problemOf(Anything, Array<number>(fitting + 1).fill(number)), "bytes long", `${number}`)
    }
    assert.isUndefined(problemOf(Text, ':,"1e300'.repeat(100_000)))
    assert.isUndefined(problemOf(Anything, nested(200)))
    for (const levels of [201, 100_000]) {
      assert.include(problemOf(Anything, nested(levels)), "more than 200 levels deep")
    }
  })

  it("is refused if it throws when it is read", () => {
    const unknown = ConfigKey.make("a", "unknown", { schema: Schema.Unknown, defaultValue: null })
    const throwing = { get: () => assert.fail("canary"), ownKeys: () => assert.fail("canary") }
    for (const value of [
      {
        get a() {
          return assert.fail("canary")
        }
      },
      new Proxy({}, throwing)
    ]) {
      const problem = problemOf<unknown>(unknown, value)
      assert.include(problem, "it throws when it is read")
      assert.notInclude(problem, "canary")
    }
  })
})
