import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import { collect, until } from "../support/observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { eventually } = TestDatabase

const onAcme = <A, E, R>(test: (acme: TestDatabase.TestDatabase) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(TestDatabase.make, (acme) =>
    test(acme).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme }, { maxStaleness: "1 second" })))
  )

const write = (acme: TestDatabase.TestDatabase, value: number) => acme.write(Limit.namespace, Limit.key, value)

const seen = (value: number) =>
  eventually(
    `${value} is read`,
    Effect.map(Config.get(Limit), (current) => current === value)
  )

describe("G1: what no notification told of is found by verification, and delivered once", () => {
  it.live("a notification that was lost", () =>
    onAcme((acme) =>
      Effect.gen(function* () {
        const changes = yield* collect(Config.changes(Limit))
        const toggle = (what: "DISABLE" | "ENABLE") =>
          acme.run(`ALTER TABLE systemplane_entries ${what} TRIGGER systemplane_notify_update_trigger`)
        const revision = yield* acme.transaction(
          Effect.andThen(toggle("DISABLE"), Effect.tap(write(acme, 7), toggle("ENABLE")))
        )
        yield* seen(7)
        assert.deepInclude(yield* Config.entry(Limit), { revision, stale: false })
        yield* write(acme, 8)
        yield* until("the next change is delivered", () => changes.at(-1)?.value === 8)
        assert.deepStrictEqual(
          changes.map(({ value }) => value),
          [7, 8]
        )
      })
    )
  )

  it.live("a table that went back to an older copy: it is taken as it is, and the status says so", () =>
    onAcme((acme) =>
      Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* acme.run("CREATE TABLE backup AS SELECT * FROM systemplane_entries")
        yield* write(acme, 7)
        const newest = yield* acme.write(Burst.namespace, Burst.key, 7)
        yield* eventually(
          "7 is read",
          Effect.map(Config.get(Burst), (value) => value === 7)
        )
        yield* acme.transaction(
          Effect.andThen(
            acme.run("SET LOCAL session_replication_role = replica"),
            Effect.andThen(
              acme.run("DELETE FROM systemplane_entries"),
              acme.run("INSERT INTO systemplane_entries SELECT * FROM backup")
            )
          )
        )
        yield* seen(600)
        const [limit, burst] = [yield* Config.entry(Limit), yield* Config.entry(Burst)]
        assert.deepInclude(burst, { value: 20, source: "stored" })
        assert.isBelow(Math.max(limit.revision, burst.revision), newest)
        const status = Option.getOrThrow(yield* manager.status("acme"))
        assert.strictEqual(status.epoch, 1)
      })
    )
  )
})

describe("behaviour 2: a row that is written again with the same value", () => {
  it.live("refreshes who wrote it, at the same revision, and is no change", () =>
    onAcme((acme) =>
      Effect.gen(function* () {
        const mine = yield* Config.set(Limit, 7, { actor: "ada" })
        const changes = yield* collect(Config.changes(Limit))
        const watched = yield* collect(Config.watch(Limit))
        yield* until("the current entry is emitted", () => watched.length === 1)
        assert.strictEqual(yield* write(acme, 7), mine.revision)
        yield* eventually(
          "the writer is refreshed",
          Effect.map(Config.entry(Limit), (entry) => entry.updatedBy === "stranger")
        )
        assert.deepInclude(yield* Config.entry(Limit), { value: 7, revision: mine.revision })
        yield* write(acme, 8)
        yield* until("the next change is emitted", () => changes.length > 0 && watched.length > 1)
        assert.deepStrictEqual(
          changes.map(({ previous, value }) => [previous, value]),
          [[7, 8]]
        )
        assert.deepStrictEqual(
          watched.map(({ value }) => value),
          [7, 8]
        )
      })
    )
  )
})
