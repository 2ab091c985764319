import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Layer, Option } from "effect"
import { Config, SystemplaneLive, TenantId, TenantManager, withTenant } from "effect-systemplane"
import { boundedText } from "../../src/layers/postgres/PgRows.ts"
import * as Catalog from "../postgres/Catalog.ts"
import { captureLogs } from "../postgres/Witness.ts"
import * as keys from "../support/keys.ts"
import { ApiKey, Feature, Greeting, Limit } from "../support/keys.ts"
import { collect, counted, until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { eventually } = TestDatabase

/** Runs a test on behalf of a tenant with some rows in its table, and with everything captured that is logged. */
const onBadRows = <A, E, R>(
  rows: ReadonlyArray<readonly [key: { readonly namespace: string; readonly key: string }, value: unknown]>,
  test: (
    database: TestDatabase.TestDatabase,
    reports: (canary: string) => ReadonlyArray<string>
  ) => Effect.Effect<A, E, R>,
  maxStaleness: Duration.Input = "1 second"
) =>
  Effect.gen(function* () {
    const database = yield* TestDatabase.make
    yield* Catalog.prepare(database)
    for (const [{ key, namespace }, value] of rows) yield* database.write(namespace, key, value)
    const logs = captureLogs()
    const reports = (canary: string) => {
      assert.notInclude(logs.lines.join("\n"), canary)
      return logs.lines.filter((line) => line.startsWith("{") && line.includes("does not fit its key's schema"))
    }
    const plane = TestPlane.over(
      { "bad-rows": database },
      SystemplaneLive({
        keys: keys.all,
        tenants: ["bad-rows"],
        maxStaleness,
        reconnect: { base: "20 millis" }
      })
    ).pipe(Layer.provide(logs.layer))
    return yield* test(database, reports).pipe(withTenant("bad-rows"), Effect.provide(plane))
  })

describe("a row that does not decode", () => {
  it.live("G6: a bad row from before activation leaves the default in force, and every other key alone", () =>
    onBadRows(
      [
        [Limit, "canary"],
        [Greeting, "good day"]
      ],
      (_, reports) =>
        Effect.gen(function* () {
          assert.deepInclude(yield* Config.entry(Limit), { value: 600, revision: 0, source: "default" })
          assert.strictEqual(yield* Config.get(Greeting), "good day")
          assert.lengthOf(reports("canary"), 1)
        })
    )
  )

  it.live(
    "G6: a bad row is no change and is reported once, whatever reads it again; a good one then comes into force",
    () =>
      onBadRows([[Limit, 7]], (database, reports) =>
        Effect.gen(function* () {
          const manager = yield* TenantManager
          const changes = yield* collect(Config.changes(Limit))
          const statuses = yield* collect(manager.statusChanges)
          const before = yield* counted("rejected_rows_total", "bad-rows")
          yield* database.write(Limit.namespace, Limit.key, "canary")
          yield* until("it is reported", () => reports("canary").length > 0)

          // By a reconnection, by a read that goes to the database, and by a verification.
          assert.strictEqual(yield* database.killListeners, 1)
          yield* until("disconnected", () => statuses.some(({ state }) => state === "disconnected"))
          yield* manager.awaitLive("bad-rows")
          yield* manager.suspend("bad-rows")
          assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
          yield* manager.activate("bad-rows")
          const { confirmedAt } = yield* Config.entry(Limit)
          yield* eventually(
            "verified",
            Effect.map(
              Config.entry(Limit),
              (entry) => entry.confirmedAt!.epochMilliseconds > confirmedAt!.epochMilliseconds
            )
          )
          assert.lengthOf(reports("canary"), 1)
          for (const part of ["bad-rows", `${Limit.namespace}/${Limit.key}`]) assert.include(reports("canary")[0], part)
          assert.strictEqual((yield* counted("rejected_rows_total", "bad-rows")) - before, 1)

          // Visible to who reads the entry or a list, by its revision.
          const { rejected } = yield* Config.entry(Limit)
          assert.include(rejected?.reason, "Expected")
          const listed = (yield* Config.list(Limit.namespace)).find(({ key }) => key === Limit.key)
          assert.deepStrictEqual(listed?.rejected, rejected)
          // And to those who look after the tenant.
          const tenant = TenantId.make("bad-rows")
          const shown = Effect.map(manager.health, ({ rejected }) => rejected)
          assert.strictEqual(Option.getOrThrow(yield* manager.status("bad-rows")).rejected, 1)
          assert.deepStrictEqual(yield* shown, [{ tenant, rows: 1 }])

          const revision = yield* database.write(Limit.namespace, Limit.key, 8)
          yield* until("the good row is a change", () => changes.length > 1)
          assert.deepStrictEqual(yield* shown, [])
          assert.deepStrictEqual(
            changes.map((change) => [change.value, change.revision, change.previous]),
            [
              [7, changes[0]!.revision, 600],
              [8, revision, 7]
            ]
          )
        })
      )
  )

  it.live(
    "G6: a bad row is reported with the reason but without the value, at any depth of a document, and for a secret",
    () =>
      onBadRows([[Feature, { enabled: "canary", percent: 1 }]], (database, reports) =>
        Effect.gen(function* () {
          yield* database.write(Feature.namespace, Feature.key, { enabled: true, percent: "canary" })
          yield* until("the document is reported again", () => reports("canary").length === 2)
          assert.include(reports("canary")[0], "enabled")
          assert.include(reports("canary")[1], "percent")
          yield* database.write(ApiKey.namespace, ApiKey.key, { part: "canary" })
          yield* until("the secret is reported", () => reports("canary").length === 3)
          assert.notInclude(reports("canary")[2], "part")
          assert.deepStrictEqual(yield* Config.get(Feature), Feature.defaultValue)
          assert.strictEqual(yield* Config.get(ApiKey), "none")
        })
      )
  )

  it.live(
    "G6: whatever one row holds, declared or not, the others are read: too deep, too long, wide, or not a double",
    () =>
      onBadRows(
        [[Limit, 7]],
        (database, reports) =>
          Effect.gen(function* () {
            const store = (key: { readonly namespace: string; readonly key: string }, value: string) =>
              database.run(
                `INSERT INTO systemplane_entries (namespace, key, value, updated_by) VALUES ($1, $2, (${value})::jsonb, 'x')
             ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value`,
                [key.namespace, key.key]
              )
            const long = "to_json(repeat('canary', 3000000))"
            yield* store(Limit, "repeat('[', 5000) || repeat(']', 5000)")
            yield* until("the deep row is reported", () => reports("canary").length === 1)
            yield* store({ namespace: Greeting.namespace, key: "undeclared" }, long)
            yield* store(Greeting, long)
            yield* until("the long row is reported", () => reports("canary").length === 2)
            // Of digits that would take the server 1.3 GB to write.
            const digits = "'[' || repeat('1e131071,', 9999) || '1]'"
            yield* store({ namespace: Greeting.namespace, key: "undeclared" }, digits)
            yield* store(Limit, digits)
            yield* until("the digits are reported", () => reports("canary").length === 3)
            // Within the bound as text, and twice as long in the server's memory, which looks at each of the numbers: it
            // is read all the same, and in the time of its length.
            const wide = "('[' || repeat('1,', 199999) || '1]')::jsonb"
            const ofWide = `SELECT left(${boundedText("w.value")}, 6) AS text FROM (SELECT ${wide} AS value OFFSET 0) AS w`
            assert.deepStrictEqual(yield* database.run(ofWide), [{ text: "[1, 1," }])
            yield* store(Limit, "'1e400'")
            yield* until("the number is reported", () => reports("canary").length === 4)
            for (const part of ["200 levels", " bytes long", "a double cannot hold"]) {
              assert.isTrue(
                reports("canary").some((line) => line.includes(part)),
                part
              )
            }
            assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Greeting)], [7, "hello"])
            // Past the triggers: a revision below zero, a time before all, and what claims to be a seed and cannot be
            // hashed.
            const insert =
              "INSERT INTO systemplane_entries (namespace, key, value, revision, updated_at, updated_by) VALUES"
            yield* database.run("DELETE FROM systemplane_entries WHERE key = $1", [Feature.key])
            const odd = `'${Feature.namespace}', '${Feature.key}', '{"enabled": true, "percent": 5}', '-9223372036854775808', '-infinity', ''`
            const seed = `'${Greeting.namespace}', 'claims', (${digits})::jsonb, 1, now(), 'systemplane.manager:0123456789abcdef'`
            yield* Catalog.withoutTriggers(database, Effect.asVoid(database.run(`${insert} (${odd}), (${seed})`)))
            // Of a feed that begins with such rows, and of reads that go to the database.
            const manager = yield* TenantManager
            yield* manager.suspend("bad-rows")
            assert.strictEqual(yield* Config.get(Greeting), "hello")
            yield* manager.remove("bad-rows")
            yield* manager.activate("bad-rows")
            assert.deepStrictEqual(yield* Config.get(Feature), { enabled: true, percent: 5 })
            const { rejected } = yield* Config.entry(Limit)
            const guarded = yield* Config.set(Limit, 9, { actor: "test", ifRevision: rejected!.revision })
            assert.isUndefined(guarded.rejected)
            assert.isAbove(guarded.revision, rejected!.revision)
            assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Greeting)], [9, "hello"])
            // Nor does a write ask for the text of what claims to be a seed, in the statement or in a trigger.
            yield* manager.suspend("bad-rows")
            const claims = `SET value = (${digits})::jsonb, revision = revision + 1, updated_by = 'systemplane.manager:0123456789abcdef'`
            yield* Catalog.withoutTriggers(
              database,
              Effect.asVoid(database.run(`UPDATE systemplane_entries ${claims} WHERE key = $1`, [Limit.key]))
            )
            const claimed = yield* Config.entry(Limit)
            const over = { actor: "test", ifRevision: claimed.rejected!.revision }
            assert.strictEqual((yield* Config.set(Limit, 10, over)).value, 10)
          }),
        // The server takes a while to look at the long ones.
        "30 seconds"
      )
  )
})
