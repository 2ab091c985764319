import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Config, TenantCache, TenantId, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
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
        const watched = yield* collect(Config.watch(Limit))
        const changes = yield* collect(Config.changes(Limit))
        const read: Array<number> = []
        const note = Effect.sync(() => read.push(cache.lastKnown(TenantId.make("acme"), Limit)!.revision))
        const reader = yield* Effect.forkScoped(Effect.forever(Effect.andThen(note, Effect.yieldNow)))

        const repeatedly = (write: (round: number) => Effect.Effect<unknown, unknown>) =>
          Effect.forEach(
            Array.from({ length: 150 }, (_, i) => i + 1),
            write
          )
        const config = yield* Config
        yield* Effect.all(
          [
            repeatedly((round) => acme.write(Limit.namespace, Limit.key, round)),
            repeatedly((round) =>
              round % 5 === 0 ? acme.erase(Limit.namespace, Limit.key) : acme.write(Limit.namespace, Limit.key, -round)
            ),
            repeatedly((round) => withTenant("acme")(config.set(Limit, 1000 + round, { actor: "ada" }))),
            repeatedly((round) =>
              round % 7 === 0 ? withTenant("acme")(config.remove(Limit, { actor: "ada" })) : Effect.void
            ),
            repeatedly((round) => (round % 25 === 0 ? acme.killListeners : Effect.void))
          ],
          { concurrency: "unbounded" }
        )
        const last = yield* acme.write(Limit.namespace, Limit.key, 5000)
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
