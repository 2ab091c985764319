import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { Config, type ConfigKey, TenantCache, TenantId, withTenant } from "effect-systemplane"
import * as Catalog from "../postgres/Catalog.ts"
import { Burst, Limit } from "../support/keys.ts"
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

  it.live(
    "G4: a value that was replaced with all triggers disabled is not confirmed by what another key's change tells",
    () =>
      TestPlane.onAcme(
        (acme) =>
          Effect.gen(function* () {
            yield* write(acme, 7)
            yield* held(Limit, 7)
            const asked = yield* DateTime.now
            yield* Catalog.withoutTriggers(acme, acme.run("UPDATE systemplane_entries SET value = '8'"))
            const revision = yield* acme.write(Burst.namespace, Burst.key, 9)
            yield* TestDatabase.eventually(
              "the other key's change is read",
              Effect.map(Config.entry(Burst), (entry) => entry.revision === revision)
            )
            const [silent, announced] = yield* Effect.all([Config.entry(Limit), Config.entry(Burst)])
            assert.strictEqual(silent.value, 7)
            assert.isTrue(DateTime.isLessThanOrEqualTo(silent.confirmedAt!, asked))
            assert.isTrue(DateTime.isGreaterThanOrEqualTo(announced.confirmedAt!, asked))
          }),
        // Nothing compares the whole table again while the test runs.
        { maxStaleness: "1 hour" }
      )
  )
})
