/**
 * Revisions are drawn before commit, so a lower one can become visible after a higher one. A reader that took the
 * highest revision seen for a cursor over the table would never see it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Latch } from "effect"
import { Config, type ConfigKey } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import type { TestDatabase } from "../support/TestDatabase.ts"
import * as ProxiedPlane from "./ProxiedPlane.ts"

/** Writes in a transaction that stays open until it is told to commit. */
const openWrite = (database: TestDatabase, { key, namespace }: ConfigKey.Any, value: unknown) =>
  Effect.gen(function* () {
    const written = yield* Deferred.make<number>()
    const mayCommit = Latch.makeUnsafe(false)
    const transaction = yield* database
      .transaction(
        database.write(namespace, key, value).pipe(
          Effect.tap((revision) => Deferred.succeed(written, revision)),
          Effect.andThen(mayCommit.await)
        )
      )
      .pipe(Effect.forkScoped)
    return {
      revision: yield* Deferred.await(written),
      commit: Effect.andThen(mayCommit.open, Fiber.join(transaction))
    }
  })

/** Shuts the gate and ends the session. */
const disconnect = ({ acme, proxy }: ProxiedPlane.World) =>
  Effect.gen(function* () {
    yield* proxy.refuse
    assert.strictEqual(yield* acme.killListeners, 1)
    yield* ProxiedPlane.becomes("disconnected")
  })

const reconnect = ({ proxy }: ProxiedPlane.World) => Effect.andThen(proxy.pass, ProxiedPlane.becomes("live"))

/** No verification within the test: what is seen was pushed, or read on connecting. */
const patient = { maxStaleness: "1 hour", staleAfterFailures: 1_000_000 } as const

describe("a transaction that drew the lower revision commits after one that drew a higher one", () => {
  const lateCommit = (
    between: (world: ProxiedPlane.World, commit: Effect.Effect<unknown>) => Effect.Effect<void, never, any>
  ) =>
    ProxiedPlane.run(
      (world) =>
        Effect.gen(function* () {
          const { acme } = world
          const late = yield* openWrite(acme, Limit, 7)
          const early = yield* acme.write(Burst.namespace, Burst.key, 8)
          assert.isBelow(late.revision, early)
          yield* ProxiedPlane.seen(Burst, 8)
          assert.strictEqual(yield* Config.get(Limit), 600)
          yield* between(world, late.commit)
          yield* ProxiedPlane.seen(Limit, 7)
          assert.deepInclude(yield* Config.entry(Limit), { value: 7, revision: late.revision, stale: false })
          assert.deepInclude(yield* Config.entry(Burst), { value: 8, revision: early, stale: false })
        }),
      patient
    )

  it.live("G1: both become visible if the lower revision commits last while the feed is up", () =>
    lateCommit((_, commit) => Effect.asVoid(commit))
  )

  it.live("G1: both become visible if the lower revision commits last while the feed is down", () =>
    lateCommit((world, commit) =>
      disconnect(world).pipe(Effect.andThen(commit), Effect.andThen(reconnect(world)), Effect.orDie)
    )
  )

  it.live("G1: the lower revision becomes visible if the feed was down and read only the higher one", () =>
    lateCommit((world, commit) =>
      disconnect(world).pipe(Effect.andThen(reconnect(world)), Effect.andThen(commit), Effect.orDie)
    )
  )

  it.live("G1: both become visible if they commit during one outage, and so in one read", () =>
    ProxiedPlane.run(
      (world) =>
        Effect.gen(function* () {
          yield* disconnect(world)
          const late = yield* openWrite(world.acme, Limit, 7)
          const early = yield* world.acme.write(Burst.namespace, Burst.key, 8)
          yield* late.commit
          yield* reconnect(world)
          const snapshot = yield* Config.snapshot
          assert.deepInclude(snapshot.entry(Limit), { value: 7, revision: late.revision })
          assert.deepInclude(snapshot.entry(Burst), { value: 8, revision: early })
        }),
      patient
    )
  )
})
