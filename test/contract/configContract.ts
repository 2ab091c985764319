import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Stream } from "effect"
import { Config, ConfigKey, TenantCache, TenantManager } from "effect-systemplane"
import * as keys from "../support/keys.ts"
import { ApiKey, Burst, Greeting, Limit } from "../support/keys.ts"
import { collect, until } from "../support/Observe.ts"
import { setAllInOrder } from "../support/setAllInOrder.ts"
import { eventually } from "../support/TestDatabase.ts"
import { Acme, acme } from "./Acme.ts"
import { type Implementation, onPlane } from "./Implementation.ts"

const actor = { actor: "ada" }

/** Waits until a read of the key returns the value. */
const becomes = <A>(key: ConfigKey<A>, value: A) =>
  eventually(
    `${key.key} becomes ${value}`,
    Effect.map(Config.get(key), (current) => current === value)
  )

/** Waits for what the snapshot holds, without reading: a read would go to the database once the snapshot is overdue. */
const held = (key: ConfigKey<number>, value: number) =>
  Effect.flatMap(TenantCache, (cache) => until(`${value} is held`, () => cache.lastKnown(acme, key)?.value === value))

const write = (key: ConfigKey<any>, value: unknown) => Acme.use((db) => db.write(key, value))

/** Why it fails, as a plain record to be compared with. */
const reasonOf = <A, R>(effect: Effect.Effect<A, { readonly reason: object }, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason as Readonly<Record<string, unknown>>)

export const configContract = <Database>({ database, name, plane }: Implementation<Database>) =>
  layer(database, { excludeTestServices: true, timeout: "30 seconds" })(`Config: ${name}`, (it) => {
    const test = onPlane<Database, void>(it.effect, plane)

    test(
      "a change by another writer is visible through get, entry, snapshot, watch, changes and onChange",
      Effect.scoped(
        Effect.gen(function* () {
          const handled: Array<unknown> = []
          yield* Config.onChange(Limit, ({ previous, tenant, value }) =>
            Effect.sync(() => handled.push([tenant, previous, value]))
          )
          const changes = yield* collect(Config.changes(Limit))
          const watched = yield* collect(Config.watch(Limit))
          yield* until("the current entry is emitted", () => watched.length === 1)
          const revision = yield* write(Limit, 7)
          yield* becomes(Limit, 7)
          const entry = yield* Config.entry(Limit)
          assert.deepInclude(entry, { value: 7, revision, source: "stored", updatedBy: "stranger", stale: false })
          const [row] = (yield* Acme.use((db) => db.rows)).filter(({ key }) => key === Limit.key)
          assert.strictEqual(entry.updatedAt?.epochMilliseconds, row?.updatedAt)
          assert.deepInclude((yield* Config.snapshot).entry(Limit), { value: 7, revision })
          yield* until("all have heard", () => handled.length > 0 && changes.length > 0 && watched.length > 1)
          assert.deepStrictEqual(handled, [["acme", 600, 7]])
          assert.deepInclude(changes[0], { tenant: acme, value: 7, previous: 600, revision })
          assert.deepStrictEqual(
            watched.map(({ value }) => value),
            [600, 7]
          )
        })
      )
    )

    test(
      "a delete brings the default back at revision 0; a key that comes back is above every revision it had",
      Effect.gen(function* () {
        const first = yield* write(Limit, 7)
        yield* becomes(Limit, 7)
        yield* Acme.use((db) => db.erase(Limit))
        yield* becomes(Limit, 600)
        assert.deepInclude(yield* Config.entry(Limit), { revision: 0, source: "default", updatedBy: undefined })
        const second = yield* write(Limit, 8)
        yield* becomes(Limit, 8)
        assert.isAbove(second, first)
        assert.deepInclude(yield* Config.entry(Limit), { revision: second })
      })
    )

    test(
      "G3: a write is readable at once in its process, and its echo is not delivered a second time",
      Effect.scoped(
        Effect.gen(function* () {
          const handled: Array<number> = []
          yield* Config.onChange(Limit, ({ value }) => Effect.sync(() => handled.push(value)))
          for (const value of [1, 2, 3]) {
            const entry = yield* Config.set(Limit, value, actor)
            assert.deepInclude(entry, { value, updatedBy: "ada", stale: false })
            assert.strictEqual(yield* Config.get(Limit), value)
            yield* until(`${value} is delivered`, () => handled.at(-1) === value)
          }
          yield* Config.remove(Limit, actor)
          assert.strictEqual(yield* Config.get(Limit), 600)
          // The echo of a later write of another key comes after those of the writes above.
          yield* write(Burst, 1)
          yield* becomes(Burst, 1)
          yield* until("the last change", () => handled.includes(600))
          assert.deepStrictEqual(handled, [1, 2, 3, 600])
        })
      )
    )

    test(
      "G1, G4: a change without a notification (triggers disabled, TRUNCATE) is found, and delivered once",
      Effect.scoped(
        Effect.gen(function* () {
          const db = yield* Acme
          const changes = yield* collect(Config.changes(Limit))
          const revision = yield* write(Limit, 7)
          yield* held(Limit, 7)
          yield* db.withoutTriggers([{ key: Limit, value: 8 }])
          yield* held(Limit, 8)
          yield* db.truncate
          yield* held(Limit, 600)
          yield* write(Limit, 9)
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
      ),
      { maxStaleness: "1 second" }
    )

    test(
      "G1: a table that was restored from an older copy is taken as it is, and the status says so",
      Effect.gen(function* () {
        yield* write(Limit, 5)
        yield* held(Limit, 5)
        const restore = yield* Acme.use((db) => db.backup)
        yield* write(Limit, 7)
        const newest = yield* write(Burst, 7)
        yield* held(Burst, 7)
        yield* restore
        yield* held(Limit, 5)
        const [limit, burst] = [yield* Config.entry(Limit), yield* Config.entry(Burst)]
        assert.deepInclude(burst, { value: 20, source: "default", revision: 0 })
        assert.isBelow(Math.max(limit.revision, burst.revision), newest)
        const status = yield* TenantManager.use((manager) => manager.status("acme"))
        assert.strictEqual(Option.getOrThrow(status).epoch, 1)
      }),
      { maxStaleness: "1 second" }
    )

    test(
      "a row that is written again with the same value refreshes who wrote it, at the same revision, and is no change",
      Effect.scoped(
        Effect.gen(function* () {
          const mine = yield* Config.set(Limit, 7, actor)
          const changes = yield* collect(Config.changes(Limit))
          const watched = yield* collect(Config.watch(Limit))
          yield* until("the current entry is emitted", () => watched.length === 1)
          assert.strictEqual(yield* write(Limit, 7), mine.revision)
          yield* eventually(
            "the writer is refreshed",
            Effect.map(Config.entry(Limit), (entry) => entry.updatedBy === "stranger")
          )
          assert.deepInclude(yield* Config.entry(Limit), { value: 7, revision: mine.revision })
          yield* write(Limit, 8)
          yield* until("the next change is emitted", () => changes.length > 1 && watched.length > 1)
          assert.deepStrictEqual(
            changes.map(({ previous, value }) => [previous, value]),
            [
              [600, 7],
              [7, 8]
            ]
          )
          assert.deepStrictEqual(
            watched.map(({ value }) => value),
            [7, 8]
          )
        })
      )
    )

    test(
      "G6: a row that does not decode leaves the last valid value in force, and the other keys go on",
      Effect.gen(function* () {
        yield* write(Limit, 7)
        yield* becomes(Limit, 7)
        yield* write(Limit, "not a number")
        yield* write(Greeting, "still here")
        yield* becomes(Greeting, "still here")
        assert.strictEqual(yield* Config.get(Limit), 7)
        yield* write(Limit, 8)
        yield* becomes(Limit, 8)
      })
    )

    test(
      "G9: keys written in one transaction become visible together",
      Effect.gen(function* () {
        const db = yield* Acme
        const pairs = new Set<number>()
        const reader = yield* Effect.forkChild(
          Effect.forever(
            Effect.gen(function* () {
              const snapshot = yield* Config.snapshot
              const [limit, burst] = [snapshot.get(Limit), snapshot.get(Burst)]
              if (limit !== 600 && limit !== burst) return yield* Effect.die(new Error(`torn: ${limit} and ${burst}`))
              pairs.add(limit)
              yield* Effect.yieldNow
            })
          )
        )
        for (let i = 1; i <= 100; i++) {
          if (i % 2 === 0) yield* Config.setAll([ConfigKey.value(Limit, i), ConfigKey.value(Burst, i)], actor)
          else {
            yield* db.transact([
              { key: Limit, value: i },
              { key: Burst, value: i }
            ])
          }
          yield* Effect.yieldNow
        }
        yield* becomes(Burst, 100)
        assert.isUndefined(reader.pollUnsafe(), "the reader saw no torn pair")
        yield* Fiber.interrupt(reader)
        assert.isAbove(pairs.size, 10)
      })
    )

    test(
      "G10: set and remove change only a row that is at the expected revision; 0 expects no row",
      Effect.gen(function* () {
        const first = yield* Config.set(Limit, 1, { ...actor, ifRevision: 0 })
        assert.deepInclude(yield* reasonOf(Config.set(Limit, 2, { ...actor, ifRevision: 0 })), {
          _tag: "RevisionConflict",
          expected: 0,
          actual: first.revision
        })
        const second = yield* Config.set(Limit, 2, { ...actor, ifRevision: first.revision })
        assert.deepInclude(yield* reasonOf(Config.set(Limit, 3, { ...actor, ifRevision: first.revision })), {
          expected: first.revision,
          actual: second.revision
        })
        assert.deepInclude(yield* reasonOf(Config.remove(Limit, { ...actor, ifRevision: first.revision })), {
          _tag: "RevisionConflict",
          actual: second.revision
        })
        assert.strictEqual(yield* Config.get(Limit), 2)
        assert.deepInclude(yield* Config.remove(Limit, { ...actor, ifRevision: second.revision }), {
          value: 600,
          revision: 0
        })
        assert.deepInclude(yield* reasonOf(Config.remove(Limit, { ...actor, ifRevision: second.revision })), {
          actual: 0
        })
        assert.deepInclude(yield* Config.remove(Limit, { ...actor, ifRevision: 0 }), { revision: 0 })
      }),
      { seedDefaults: false }
    )

    test(
      "G10: of many racing guarded writers exactly one wins",
      Effect.gen(function* () {
        const { revision } = yield* Config.entry(Limit)
        const exits = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, i) => i + 1),
          (value) => Effect.exit(Config.set(Limit, value, { ...actor, ifRevision: revision })),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
      })
    )

    test(
      "setAll writes all in the order given, or nothing if a value is refused or an expectation fails",
      Effect.gen(function* () {
        yield* setAllInOrder
        const before = yield* Acme.use((db) => db.rows)
        const refused = yield* Effect.flip(
          Config.setAll(
            [
              ConfigKey.value(Greeting, "fine"),
              ConfigKey.value(Limit, -1),
              ConfigKey.value(ApiKey, "c4n"),
              ConfigKey.value(Greeting, "twice")
            ],
            actor
          )
        )
        assert.strictEqual(refused.reason._tag, "InvalidValue")
        for (const { key } of [Limit, ApiKey, Greeting]) assert.include(refused.message, key)
        assert.notInclude(refused.message, "c4n")
        const conflict = yield* reasonOf(
          Config.setAll([ConfigKey.value(Burst, 1), ConfigKey.value(Greeting, "x", { ifRevision: 1_000_000 })], actor)
        )
        assert.deepInclude(conflict, { _tag: "RevisionConflict", key: Greeting.key, expected: 1_000_000 })
        assert.deepStrictEqual(yield* Acme.use((db) => db.rows), before)
        assert.deepStrictEqual(yield* Config.setAll([], actor), [])
      })
    )

    test(
      "G7: defaults are seeded only if there is no row, and an operator's value stays",
      Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* write(Limit, 7)
        yield* Acme.use((db) => db.erase(Burst))
        yield* manager.remove("acme")
        yield* manager.activate("acme")
        assert.deepInclude(yield* Config.entry(Limit), { value: 7, updatedBy: "stranger" })
        assert.deepInclude(yield* Config.entry(Burst), {
          value: 20,
          revision: 0,
          updatedBy: undefined,
          source: "default"
        })
        assert.strictEqual((yield* Acme.use((db) => db.rows)).length, keys.all.length)
      })
    )

    const beforeBadRows = Effect.gen(function* () {
      for (const value of ["good day", ...Array.from({ length: 9 }, (_, i) => i)]) yield* write(Greeting, value)
      yield* write(Limit, 7)
      yield* write(Limit, 8)
      const bad = yield* write(Limit, "canary")
      yield* write(Burst, 5)
      yield* Acme.use((db) => db.erase(Burst))
      yield* write(Burst, "canary")
      yield* write(ApiKey, "a good key")
      yield* write(ApiKey, 5)
      return bad
    })

    const badRowsAreReplaced = (bad: number) =>
      Effect.gen(function* () {
        const limit = yield* Config.entry(Limit)
        assert.deepInclude(limit, { value: 8, source: "history", stale: false })
        assert.isDefined(limit.updatedBy)
        assert.isBelow(limit.revision, bad)
        assert.strictEqual(limit.rejected?.revision, bad)
        const greeting = yield* Config.entry(Greeting)
        assert.deepInclude(greeting, { value: "good day", source: "history" })
        const listed = yield* Config.list(Limit.namespace)
        assert.deepStrictEqual(
          listed.map(({ key, rejected, source, value }) => [key, value, source, rejected !== undefined]),
          [
            [Limit.key, 8, "history", true],
            [Burst.key, 20, "default", true]
          ]
        )
        const secret = yield* Config.entry(ApiKey)
        assert.deepInclude(secret, { value: "none", source: "default" })
        assert.isDefined(secret.rejected)
        assert.strictEqual((yield* Config.snapshot).get(Limit), 8)
        return limit
      })

    test(
      "G6: a process that starts with rejected rows has the last valid values of the history in force, of no removed or secret one",
      Effect.scoped(
        Effect.gen(function* () {
          const manager = yield* TenantManager
          const changes = yield* collect(Config.changes(Limit))
          yield* manager.remove("acme")
          const bad = yield* beforeBadRows
          yield* manager.activate("acme")
          const limit = yield* badRowsAreReplaced(bad)
          const watched = yield* Stream.runHead(Config.watch(Limit))
          assert.deepStrictEqual(
            Option.map(watched, ({ value }) => value),
            Option.some(8)
          )
          yield* until("subscribers are told", () => changes.some(({ value }) => value === 8))
          assert.isTrue(changes.every(({ value }) => value === 8))
          assert.deepStrictEqual(changes[0]?.revision, limit.revision)

          // The same if the process runs while the rows come, whichever of them it has seen.
          yield* write(Limit, 9)
          yield* becomes(Limit, 9)
          yield* Acme.use((db) => db.transact([{ key: Limit, value: 10 }]))
          const worse = yield* write(Limit, "canary")
          yield* eventually(
            "the newest valid value is in force",
            Effect.map(Config.entry(Limit), ({ rejected, value }) => value === 10 && rejected?.revision === worse)
          )
          const mended = yield* Config.set(Limit, 11, { ...actor, ifRevision: worse })
          assert.deepInclude(mended, { value: 11, source: "stored" })
          assert.isUndefined(mended.rejected)
        })
      )
    )

    test(
      "G6: a read of the database has the last valid value of the history in force, too",
      Effect.flatMap(beforeBadRows, badRowsAreReplaced),
      { tenants: [], activation: "explicit" }
    )

    test(
      "a tenant without a scope is read from the database: one key, and all of them at one moment",
      Effect.gen(function* () {
        yield* Acme.use((db) =>
          db.transact([
            { key: Limit, value: 7 },
            { key: Burst, value: 7 }
          ])
        )
        assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
        const snapshot = yield* Config.snapshot
        assert.deepStrictEqual([snapshot.get(Limit), snapshot.get(Burst), snapshot.get(Greeting)], [7, 7, "hello"])
        assert.deepInclude(yield* Config.set(Greeting, "hi", actor), { value: "hi", updatedBy: "ada" })
        assert.strictEqual(yield* Config.get(Greeting), "hi")
        assert.strictEqual(yield* Acme.use((db) => db.listeners), 0)
      }),
      { tenants: [], activation: "explicit" }
    )

    test(
      "G4: a watcher survives the loss of a session, and emits once what changed meanwhile",
      Effect.scoped(
        Effect.gen(function* () {
          const db = yield* Acme
          const watched = yield* collect(Config.watch(Limit).pipe(Stream.map(({ value }) => value)))
          yield* until("the current entry is emitted", () => watched.length === 1)
          assert.strictEqual(yield* db.killListeners, 1)
          yield* write(Limit, 7)
          yield* until("7 is emitted", () => watched.includes(7))
          yield* write(Limit, 8)
          yield* until("8 is emitted", () => watched.includes(8))
          assert.deepStrictEqual(watched, [600, 7, 8])
        })
      )
    )
  })
