import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Config, type ConfigKey, TenantCache, TenantId, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { collect, until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const onAcme = <A, E, R>(test: (acme: TestDatabase.TestDatabase) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(TestDatabase.make, (acme) =>
    test(acme).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme }, { maxStaleness: "1 second" })))
  )

const write = (acme: TestDatabase.TestDatabase, value: number) => acme.write(Limit.namespace, Limit.key, value)

/** Waits for what the snapshot holds, without reading: a read would go to the database once the snapshot is overdue. */
const held = (key: ConfigKey<number>, value: number) =>
  Effect.flatMap(TenantCache, (cache) =>
    until(`${value} is held`, () => cache.lastKnown(TenantId.make("acme"), key)?.value === value)
  )

describe("changes without a notification", () => {
  it.live("G1, G4: a change whose notification was lost is found by verification, and delivered once", () =>
    onAcme((acme) =>
      Effect.gen(function* () {
        const changes = yield* collect(Config.changes(Limit))
        const toggle = (what: "DISABLE" | "ENABLE") =>
          acme.run(`ALTER TABLE systemplane_entries ${what} TRIGGER systemplane_notify_update_trigger`)
        const revision = yield* acme.transaction(
          Effect.andThen(toggle("DISABLE"), Effect.tap(write(acme, 7), toggle("ENABLE")))
        )
        yield* held(Limit, 7)
        yield* write(acme, 9)
        yield* until("the next change is delivered", () => changes.at(-1)?.value === 9)
        assert.deepStrictEqual(
          changes.slice(0, -1).map(({ revision, value }) => [value, revision]),
          [[7, revision]]
        )
      })
    )
  )
})
