import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as fc from "fast-check"
import * as PgRows from "../../src/layers/postgres/PgRows.ts"
import * as Notification from "../../src/schema/Notification.ts"

/** Values as they should be, and as they should not. */
const mixed = <A>(good: fc.Arbitrary<A>, ...bad: ReadonlyArray<unknown>) =>
  fc.oneof({ weight: 15, arbitrary: good }, { weight: 1, arbitrary: fc.constantFrom<unknown>(undefined, null, ...bad) })

describe("what is decoded by its shape is what the schema decodes", () => {
  it("stored rows are decoded whatever they hold", () => {
    const row = fc.record(
      {
        value: mixed(fc.json().map((text) => JSON.parse(text))),
        revision: mixed(fc.integer(), 7n, "7", 1.5, 2 ** 60, Number.NaN, Infinity),
        seconds: mixed(fc.double({ noNaN: true, noDefaultInfinity: true }), Number.NaN, "2026-01-01", new Date(0)),
        updatedBy: mixed(fc.string(), 7),
        fingerprint: mixed(fc.bigInt(), 7, "7"),
        more: fc.anything()
      },
      { requiredKeys: ["value", "revision", "seconds", "updatedBy"] }
    )
    let accepted = 0
    fc.assert(
      fc.property(fc.oneof(row, fc.anything()), (given) => {
        const fast = PgRows.byShape(given)
        assert.deepStrictEqual(fast, Result.getOrUndefined(PgRows.bySchema(given)))
        if (fast !== undefined) {
          assert.isTrue(Number.isSafeInteger(fast.revision))
          accepted++
        }
      }),
      { numRuns: 2000 }
    )
    assert.isAbove(accepted, 50)
  })

  it("payloads are decoded whatever they hold", () => {
    const bySchema = Schema.decodeUnknownOption(Schema.fromJsonString(Notification.Notification))
    const payload = fc.record(
      {
        namespace: mixed(fc.string(), 7),
        key: mixed(fc.string(), {}),
        op: mixed(fc.constantFrom("upsert", "delete"), "truncate"),
        revision: fc.integer(),
        more: fc.jsonValue()
      },
      { requiredKeys: [] }
    )
    let accepted = 0
    fc.assert(
      fc.property(
        fc.oneof(
          payload.map((json) => JSON.stringify(json)),
          fc.string(),
          fc.json()
        ),
        (given) => {
          const fast = Notification.decode(given)
          assert.deepStrictEqual(fast, bySchema(given))
          if (fast._tag === "Some") accepted++
        }
      ),
      { numRuns: 2000 }
    )
    assert.isAbove(accepted, 50)
  })
})
