import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Config, type ConfigKey, TenantCache, TenantId, TenantManager, withTenant } from "effect-systemplane"
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

/** Waits for what the snapshot holds, without reading: a read would go to the database once the snapshot is overdue. */
const held = (key: ConfigKey<number>, value: number) =>
  Effect.flatMap(TenantCache, (cache) =>
    until(`${value} is held`, () => cache.lastKnown(TenantId.make("acme"), key)?.value === value)
  )

/** Runs a write as nobody but a restored backup or a replica does: without triggers. */
const withoutTriggers = (acme: TestDatabase.TestDatabase, ...statements: ReadonlyArray<string>) =>
  acme.transaction(
    Effect.forEach(["SET LOCAL session_replication_role = replica", ...statements], (sql) => acme.run(sql))
  )

describe("G1, G4: what no notification told of is found by verification, and delivered once", () => {
  it.live("a notification that was lost, another value at the same revision, an emptied table", () =>
    onAcme((acme) =>
      Effect.gen(function* () {
        const changes = yield* collect(Config.changes(Limit))
        const toggle = (what: "DISABLE" | "ENABLE") =>
          acme.run(`ALTER TABLE systemplane_entries ${what} TRIGGER systemplane_notify_update_trigger`)
        const revision = yield* acme.transaction(
          Effect.andThen(toggle("DISABLE"), Effect.tap(write(acme, 7), toggle("ENABLE")))
        )
        yield* held(Limit, 7)
        yield* withoutTriggers(acme, `UPDATE systemplane_entries SET value = '8' WHERE key = '${Limit.key}'`)
        yield* held(Limit, 8)
        yield* acme.run("TRUNCATE systemplane_entries")
        yield* held(Limit, 600)
        yield* write(acme, 9)
        yield* until("the next change is delivered", () => changes.at(-1)?.value === 9)
        assert.deepStrictEqual(
          changes.slice(0, -1).map(({ revision, value }) => [value, revision]),
          [
            [7, revision],
            [8, revision],
            [600, 0]
          ]
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
        yield* held(Burst, 7)
        yield* withoutTriggers(
          acme,
          "DELETE FROM systemplane_entries",
          "INSERT INTO systemplane_entries SELECT * FROM backup"
        )
        yield* held(Limit, 600)
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
