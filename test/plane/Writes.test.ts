import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Config, ConfigKey, Ddl, TenantManager } from "effect-systemplane"
import { Burst, Greeting, Limit } from "../support/keys.ts"
import { setAllInOrder } from "../support/setAllInOrder.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { onAcme } = TestPlane

const actor = { actor: "ada" }

describe("setAll", () => {
  it.live("G9: setAll writes keys that become visible together, and returns the entries in the order given", () =>
    onAcme((acme) =>
      Effect.gen(function* () {
        yield* setAllInOrder
        const rows = yield* acme.run(
          "SELECT count(DISTINCT xmin::text)::int AS transactions FROM systemplane_entries WHERE updated_by = 'ada'"
        )
        assert.deepStrictEqual(rows, [{ transactions: 1 }])
      })
    )
  )

  it.live("setAll in opposite orders do not deadlock", () =>
    onAcme(() =>
      Effect.forEach(
        Array.from({ length: 60 }, (_, i) => i),
        (i) => {
          const pair = [ConfigKey.value(Limit, i + 1), ConfigKey.value(Burst, i + 1)] as const
          return Config.setAll(i % 2 === 0 ? pair : pair.toReversed(), actor)
        },
        { concurrency: "unbounded", discard: true }
      )
    )
  )
})

describe("snapshot", () => {
  it.live(
    "a snapshot does not follow later changes, and takes one statement if the tenant is suspended or unknown",
    () =>
      onAcme(
        (acme) =>
          Effect.gen(function* () {
            const manager = yield* TenantManager
            for (const part of Ddl.parts) for (const statement of part.statements) yield* acme.run(statement)
            assert.strictEqual((yield* Config.snapshot).get(Limit), 600)
            yield* manager.activate("acme")
            const before = yield* Config.snapshot
            yield* Config.set(Limit, 7, actor)
            assert.deepStrictEqual([before.get(Limit), (yield* Config.snapshot).get(Limit)], [600, 7])
            yield* manager.suspend("acme")
            yield* acme.write(Limit.namespace, Limit.key, 8)
            const suspended = yield* Config.snapshot
            assert.deepInclude(suspended.entry(Limit), { value: 8, stale: false })
          }),
        { tenants: [], activation: "explicit" }
      )
  )

  it.live("snapshot reads a group as one record, and throws for a key that it does not hold", () => {
    const limits = ConfigKey.group("limits", {
      requestsPerMinute: { schema: Limit.schema, defaultValue: 600 },
      burst: { schema: Burst.schema, defaultValue: 20 }
    })
    return onAcme(
      () =>
        Effect.gen(function* () {
          yield* Config.set(limits.keys.burst, 5, actor)
          assert.deepStrictEqual(yield* Config.getGroup(limits), { requestsPerMinute: 600, burst: 5 })
          const snapshot = yield* Config.snapshot
          assert.throws(() => snapshot.get(Greeting), /No key texts\/greeting is declared/)
        }),
      { keys: limits.all }
    )
  })
})
