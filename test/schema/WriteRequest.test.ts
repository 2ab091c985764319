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

describe("a value to be written", () => {
  it("G6: is refused if no process would put it in force: too long, or too deep", () => {
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
    assert.isUndefined(problemOf(Anything, nested(200)))
    assert.include(problemOf(Anything, nested(201)), "more than 200 levels deep")
  })
})
