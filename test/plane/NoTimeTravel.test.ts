import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Config, TenantCache, TenantId, withTenant } from "effect-systemplane"
import { Burst } from "../support/keys.ts"
import { collect, until } from "../support/observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

/** The first revision that comes after a higher one. A deletion, revision 0, may come after any. */
const backwards = (revisions: ReadonlyArray<number>) => {
  let highest = 0
  return revisions.find((revision) => {
    const older = revision !== 0 && revision < highest
    highest = Math.max(highest, revision)
    return older
  })
}

describe("G2: no time travel", () => {
  it.live("no observer sees an older revision after a newer one, whoever writes, deletes and reads meanwhile", () =>
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

        assert.isUndefined(backwards(read))
        assert.isUndefined(backwards(watched.map(({ revision }) => revision)))
        assert.isUndefined(backwards(changes.map(({ revision }) => revision)))
        assert.isAbove(new Set(read).size, 50)
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme })))
    })
  )
})
