import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { Config, TenantCache, TenantId, TenantManager, withTenant } from "effect-systemplane"
import { Burst } from "../support/keys.ts"
import { collect, until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

/** How often an older revision comes after a newer one. A deletion, revision 0, may come after any. */
const timesBack = (revisions: ReadonlyArray<number>) => {
  let times = 0
  let highest = 0
  for (const revision of revisions) {
    if (revision === 0) continue
    if (revision < highest) times++
    highest = revision
  }
  return times
}

describe("no time travel", () => {
  it.live("G2: no observer sees an older revision after a newer one under concurrent writes, deletes and reads", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const cache = yield* TenantCache
        const watched = yield* collect(Config.watch(Burst))
        const changes = yield* collect(Config.changes(Burst))
        const read: Array<number> = []
        const note = Effect.sync(() => read.push(cache.lastKnown(TenantId.make("acme"), Burst)!.revision))
        const reader = yield* Effect.forkScoped(Effect.forever(Effect.andThen(note, Effect.yieldNow)))

        const repeatedly = (write: (round: number) => Effect.Effect<unknown, unknown>) =>
          Effect.forEach(
            Array.from({ length: 150 }, (_, i) => i + 1),
            write
          )
        const config = yield* Config
        yield* Effect.all(
          [
            repeatedly((round) => acme.write(Burst.namespace, Burst.key, round)),
            repeatedly((round) =>
              round % 5 === 0 ? acme.erase(Burst.namespace, Burst.key) : acme.write(Burst.namespace, Burst.key, -round)
            ),
            repeatedly((round) =>
              withTenant("acme")(
                round % 7 === 0
                  ? config.remove(Burst, { actor: "ada" })
                  : config.set(Burst, 1000 + round, { actor: "ada" })
              )
            ),
            repeatedly((round) => (round % 30 === 0 ? acme.killListeners : acme.run("SELECT")))
          ],
          { concurrency: "unbounded" }
        )
        const last = yield* acme.write(Burst.namespace, Burst.key, 5000)
        yield* until(
          "all observers are at the last write",
          () => read.at(-1) === last && watched.at(-1)?.revision === last && changes.at(-1)?.revision === last
        )
        yield* Fiber.interrupt(reader)

        // A write draws its revision before it waits for a row that others write and delete meanwhile. So the table
        // itself may go back, which begins an epoch; without one no reader may see an older revision after a newer one.
        const { epoch } = Option.getOrThrow(yield* TenantManager.use((manager) => manager.status("acme")))
        for (const seen of [read, watched.map(({ revision }) => revision), changes.map(({ revision }) => revision)]) {
          assert.isAtMost(timesBack(seen), epoch)
        }
        assert.isAbove(new Set(read).size, 50)
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme })))
    })
  )
})
