import { describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { Config, ConfigKey, PgConnector, SystemplaneReadThrough, withTenant } from "effect-systemplane"
import * as keys from "../support/keys.ts"
import { Burst, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const transactions = 1000

/** Both keys are the same number after each of its transactions, which the server runs one after the other. */
const flipping = `DO $$
  BEGIN
    FOR i IN 1..${transactions} LOOP
      UPDATE systemplane_entries SET value = to_jsonb(i) WHERE key = 'burst';
      UPDATE systemplane_entries SET value = to_jsonb(i) WHERE key = 'requests-per-minute';
      COMMIT;
    END LOOP;
  END
$$`

describe("snapshots under concurrent transactions", () => {
  it.live(
    `G9: no snapshot is torn while ${transactions} transactions and setAll flip two keys, from memory or read through`,
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const live = yield* Layer.build(TestPlane.layer({ acme }))
        const direct = yield* SystemplaneReadThrough({ keys: keys.all }).pipe(
          Layer.provide(PgConnector.layerRecord({ acme: { url: acme.url } })),
          Layer.provide(TestPlane.silent),
          Layer.build
        )
        const onLive = Effect.provideContext(live)
        const both = (i: number) =>
          onLive(Config.setAll([ConfigKey.value(Limit, i), ConfigKey.value(Burst, i)], { actor: "ada" }))
        yield* both(1)

        let done = false
        const readInto = Effect.fnUntraced(function* (states: Set<number>) {
          while (!done) {
            const snapshot = yield* Config.snapshot
            const [limit, burst] = [snapshot.get(Limit), snapshot.get(Burst)]
            if (limit !== burst) return yield* Effect.die(new Error(`torn: ${limit} and ${burst}`))
            states.add(limit)
            yield* Effect.yieldNow
          }
        })
        const fromMemory = new Set<number>()
        const readThrough = new Set<number>()
        const readers = yield* Effect.forkScoped(
          Effect.all([readInto(fromMemory).pipe(onLive), readInto(readThrough).pipe(Effect.provideContext(direct))], {
            concurrency: "unbounded"
          })
        )
        const ourselves = yield* Effect.forkScoped(
          Effect.gen(function* () {
            for (let i = 10_000; !done; i++) yield* both(i)
          })
        )
        const flippedEnough = Effect.repeat(acme.run(flipping), {
          until: () => fromMemory.size > 20 && readThrough.size > 20
        })
        yield* Effect.raceFirst(flippedEnough, Fiber.join(readers))
        done = true
        yield* Fiber.join(ourselves)
        yield* Fiber.join(readers)
      }).pipe(withTenant("acme"))
  )
})
