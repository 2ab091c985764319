import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as PgDiff from "../../src/layers/postgres/diff/PgDiff.ts"

const keys = Array.from({ length: 40 }, (_, i) => ({ namespace: "n", key: `k${i}` }))

const diff = (rows: ReadonlyArray<unknown>) =>
  PgDiff.once(
    () => Effect.succeed(rows),
    keys,
    keys.map(() => undefined)
  )

describe("PgDiff", () => {
  it.effect("an answer of another shape is an error, and not an empty table", () =>
    Effect.gen(function* () {
      for (const row of [{ present: true }, null, "n", { namespace: 1, key: "k1" }, { namespace: "n", key: "k1" }]) {
        const error = yield* Effect.flip(diff([row]))
        assert.strictEqual(error._tag, "SqlError")
      }
      const row = { value: "1", revision: 1, seconds: 0, updatedBy: "", fingerprint: 1n, age: 0 }
      assert.deepStrictEqual(yield* diff([{ ...row, namespace: "n", key: "somebody else\u2019s" }]), [])
    })
  )
})
