import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Schema, type Scope, Stream } from "effect"
import {
  ChangeHistory,
  type ChangePage,
  Config,
  ConfigKey,
  Ddl,
  PgConnector,
  type RecordPage,
  SystemplaneReadThrough,
  withTenant
} from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as Catalog from "./Catalog.ts"

const Counter = ConfigKey.make("history", "counter", { schema: Schema.Int, defaultValue: 0 })

layer(Layer.empty, { excludeTestServices: true })("the history on PostgreSQL", (it) => {
  it.effect("G16: what was written with the triggers disabled is found by a verification and recorded", () =>
    TestPlane.onAcme(
      (acme) =>
        Effect.gen(function* () {
          yield* Config.set(Limit, 1, { actor: "ada" })
          yield* Catalog.withoutTriggers(
            acme,
            acme.run("UPDATE systemplane_entries SET value = '9' WHERE key = $1", [Limit.key])
          )
          yield* TestDatabase.eventually(
            "the gap is closed by a record",
            Effect.map(ChangeHistory.ofKey(Limit), ({ records }) => records[0]?.changedBy === "unrecorded")
          )
          // The record is committed before the process that wrote it reads the row.
          yield* TestDatabase.eventually(
            "the value is in force",
            Effect.map(Config.get(Limit), (limit) => limit === 9)
          )
          assert.strictEqual(yield* ChangeHistory.verify, 0)
        }),
      { maxStaleness: "1 second" }
    )
  )

  it.effect("pages end before their limit if values are long, and a value that no reader would get stays away", () =>
    TestPlane.onAcme((acme) =>
      Effect.gen(function* () {
        // Undeclared, so that the plane does not read it as well.
        const long = { namespace: "history", key: "long" }
        const write = (value: string) =>
          acme.run(
            `INSERT INTO systemplane_entries (namespace, key, value) VALUES ('history', 'long', ${value})
             ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value`
          )
        for (const letter of "abcde") yield* write(`to_jsonb(repeat('${letter}', 900000))`)
        const read = { ofKey: 0, list: 0 }
        let [ofKey, list]: [number | undefined, number | undefined] = [undefined, undefined]
        do {
          const page: RecordPage = yield* ChangeHistory.ofKey(long, { limit: 100, before: ofKey })
          assert.isAtMost(JSON.stringify(page.records).length, 6_000_000)
          read.ofKey += page.records.filter(({ value }) => typeof value === "string").length
          ofKey = page.next
        } while (ofKey !== undefined)
        do {
          const page: ChangePage = yield* ChangeHistory.list({ ...long, limit: 100, before: list })
          assert.isAtMost(JSON.stringify(page.changes).length, 6_000_000)
          read.list += page.changes.flatMap(({ records }) => records).filter(({ value }) => value !== undefined).length
          list = page.next
        } while (list !== undefined)
        assert.deepStrictEqual(read, { ofKey: 5, list: 5 })

        yield* write("to_jsonb(repeat('x', 2000000))")
        yield* write("(SELECT jsonb_agg(1e131071) FROM generate_series(1, 600))")
        yield* write("'1'")
        const { records } = yield* ChangeHistory.ofKey(long, { limit: 3 })
        assert.deepStrictEqual(
          records.map(({ oversized, value }) => [oversized, value]),
          [
            [true, 1],
            [true, undefined],
            [true, undefined]
          ]
        )
      })
    )
  )

  for (const level of ["read committed", "repeatable read"]) {
    it.effect(
      `G16: a gap is not closed beside a writer, whose record would come before the one of the gap: ${level}`,
      () =>
        Effect.gen(function* () {
          const acme = yield* TestDatabase.make
          yield* acme.run(`ALTER DATABASE ${acme.name} SET default_transaction_isolation = '${level}'`)
          yield* Effect.gen(function* () {
            yield* Config.set(Limit, 1, { actor: "ada" })
            const verify = yield* Effect.map(Effect.context<ChangeHistory | Scope.Scope>(), (context) =>
              Effect.provide(Effect.forkScoped(ChangeHistory.verify), context)
            )
            const isWaiting = Effect.map(
              acme.run("SELECT FROM pg_locks WHERE mode = 'ShareRowExclusiveLock' AND NOT granted"),
              (locks) => locks.length > 0
            )
            yield* Catalog.withoutTriggers(
              acme,
              acme.run("UPDATE systemplane_entries SET value = '9' WHERE key = $1", [Limit.key])
            )
            const verifying = yield* acme.transaction(
              Effect.gen(function* () {
                yield* acme.run("UPDATE systemplane_entries SET value = '10' WHERE key = $1", [Limit.key])
                const verifying = yield* verify
                yield* TestDatabase.eventually("the verification waits for the writer", isWaiting)
                return verifying
              })
            )
            assert.strictEqual(yield* Fiber.join(verifying), 0)
            const { records } = yield* ChangeHistory.ofKey(Limit)
            assert.deepStrictEqual(
              records.map(({ value, previousValue }) => [value, previousValue]),
              [
                [10, 9],
                [1, undefined]
              ]
            )
          }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme })))
        })
    )
  }

  it.effect("a rollback to each of many revisions puts its value in force again", () =>
    TestPlane.onAcme(
      () =>
        Effect.gen(function* () {
          const revisions: Array<number> = []
          for (let i = 1; i <= 50; i++) revisions.push((yield* Config.set(Counter, i, { actor: "ada" })).revision)
          for (const [i, to] of revisions.entries()) {
            yield* ChangeHistory.rollback(Counter, { to, actor: "bob" })
            assert.strictEqual(yield* Config.get(Counter), i + 1)
          }
        }),
      { keys: [Counter] }
    )
  )

  it.effect("without a history everything else works, and the history says in words what is missing", () =>
    TestPlane.onAcme(
      () =>
        Effect.gen(function* () {
          yield* Config.set(Limit, 1, { actor: "ada" })
          assert.strictEqual(yield* Config.get(Limit), 1)
          const { message, reason } = yield* Effect.flip(ChangeHistory.list())
          assert.strictEqual(reason._tag, "HistoryMissing")
          assert.include(message, "run Ddl.sql")
        }),
      { history: false }
    )
  )

  it.effect(
    "G16: no value of a secret is on record, in a database that Ddl.sql prepared and operators wrote to before the application came",
    () =>
      Effect.gen(function* () {
        const secrets = Array.from({ length: 20 }, (_, i) =>
          ConfigKey.make("vault", `secret-${i}`, { schema: Schema.String, defaultValue: "none", secret: true })
        )
        const role = yield* TestDatabase.makeRole
        const acme = yield* TestDatabase.make
        // Entries before the history, whose baseline would show them; and changes by each kind of writer after it.
        yield* Catalog.runScript(acme, Ddl.script({ history: false }))
        for (const { key } of secrets.slice(0, 10)) yield* acme.write("vault", key, "canary-before")
        yield* Catalog.runScript(acme, Ddl.sql)
        yield* Catalog.runScript(acme, Ddl.grants(role.user))
        const byHand = Effect.gen(function* () {
          for (const { key } of secrets.slice(5)) {
            yield* acme.run("SELECT systemplane_set('vault', $1, '\"canary-by-hand\"', 'because')", [key])
          }
          yield* acme.run("DELETE FROM systemplane_entries WHERE namespace = 'vault' AND key = 'secret-7'")
        })
        yield* byHand
        const onRecord = acme.run(
          "SELECT count(*)::int AS count FROM systemplane_history AS h WHERE to_jsonb(h)::text LIKE '%canary%'"
        )
        assert.isAbove((yield* onRecord)[0].count, 20)
        const plane = TestPlane.layer(
          { acme: { ...acme, url: acme.urlAs(role) } },
          { keys: secrets, bootstrap: "verify", seedDefaults: false }
        )
        yield* Effect.gen(function* () {
          assert.strictEqual(yield* Config.get(secrets[19]!), "canary-by-hand")
          assert.strictEqual((yield* onRecord)[0].count, 0)
          yield* byHand
          yield* Config.set(secrets[3]!, "canary-of-ours", { actor: "ada" })
          assert.strictEqual((yield* onRecord)[0].count, 0)
          assert.strictEqual(yield* ChangeHistory.verify, 0)
        }).pipe(withTenant("acme"), Effect.provide(plane))
      })
  )

  it.effect(
    "G16: a secret that no application has declared in the database: none of our writes has it on record, and no history shows it",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const secrets = ["secret", "it's; \"quoted\"';'"].map((name) =>
          ConfigKey.make("vault", name, { schema: Schema.String, defaultValue: "none", secret: true })
        )
        const onRecord = Effect.map(
          acme.run(
            "SELECT count(*)::int AS all, count(*) FILTER (WHERE h::text LIKE '%canary%')::int AS shown FROM systemplane_history AS h"
          ),
          ([counts]) => counts
        )
        yield* Catalog.runScript(acme, Ddl.script({ history: false }))
        for (const { key } of secrets) yield* acme.write("vault", key, "canary-before")
        // A plane without a cache declares nothing, nor does one that is told to leave the schema alone.
        const connector = PgConnector.layerRecord({ acme: { url: acme.url } })
        const direct = SystemplaneReadThrough({ keys: secrets, bootstrap: "ensure" }).pipe(Layer.provide(connector))
        const change = (count: number) =>
          Effect.gen(function* () {
            for (const secret of secrets) {
              assert.strictEqual(yield* Config.get(secret), "canary-before")
              yield* Config.set(secret, "canary-of-ours", { actor: "ada" })
              yield* Config.remove(secret, { actor: "ada" })
              const changeId = crypto.randomUUID()
              yield* Config.remove(secret, { actor: "ada", changeId })
              assert.deepStrictEqual(
                yield* acme.run("SELECT previous_revision FROM systemplane_history WHERE change_id = $1", [changeId]),
                [{ previous_revision: null }]
              )
              yield* Config.set(secret, "canary-before", { actor: "ada" })
            }
            assert.deepStrictEqual(yield* onRecord, { all: count, shown: 0 })
          }).pipe(withTenant("acme"))
        yield* Effect.provide(change(2 + 8), direct)
        const following = TestPlane.layer({ acme }, { keys: secrets, bootstrap: "skip", seedDefaults: false })
        yield* Effect.provide(change(2 + 8 + 8), following)
        // What was written without a record is closed by one.
        yield* Catalog.withoutTriggers(acme, acme.run("UPDATE systemplane_entries SET value = '\"canary-unrecorded\"'"))
        yield* Effect.gen(function* () {
          assert.strictEqual(yield* ChangeHistory.verify, 0, "of a secret only the revision is compared")
          yield* Catalog.withoutTriggers(acme, acme.run("UPDATE systemplane_entries SET revision = revision + 100"))
          assert.strictEqual(yield* ChangeHistory.verify, secrets.length)
          assert.strictEqual((yield* onRecord).shown, 0)

          // The database does not know that it is a secret, and keeps what SQL writes. This process does not show it.
          const [{ key, namespace }] = [secrets[0]!]
          const cursor = Option.getOrThrow(yield* Stream.runHead(ChangeHistory.since(undefined))).cursor
          for (const value of ["canary-one", "canary-two"]) yield* acme.write(namespace, key, value)
          const { records } = yield* ChangeHistory.ofKey({ namespace, key }, { limit: 2 })
          const [two, one] = records
          const asked = [
            records,
            yield* ChangeHistory.list(),
            yield* ChangeHistory.get(one!.changeId!),
            yield* ChangeHistory.at(new Date()),
            yield* Stream.runCollect(Stream.take(ChangeHistory.since(cursor), 2)),
            yield* Effect.flip(ChangeHistory.revert(one!.changeId!, { actor: "ada" })),
            yield* Effect.flip(ChangeHistory.rollback({ namespace, key }, { to: one!.revision, actor: "ada" }))
          ]
          for (const answer of asked) assert.notInclude(JSON.stringify(answer), "canary")
          assert.isTrue(one!.redacted && two!.redacted)
          assert.isAbove((yield* onRecord).shown, 0)
        }).pipe(withTenant("acme"), Effect.provide(following))
        assert.deepStrictEqual(yield* acme.run("SELECT FROM systemplane_keys"), [])
      })
  )

  it.effect(
    "a role with the granted rights alone reads the history, takes changes back, and purges only if it may",
    () =>
      Effect.gen(function* () {
        const role = yield* TestDatabase.makeRole
        const acme = yield* TestDatabase.make
        yield* Catalog.prepare(acme)
        yield* Catalog.runScript(acme, Ddl.grants(role.user))
        const plane = TestPlane.layer({ acme: { ...acme, url: acme.urlAs(role) } }, { bootstrap: "verify" })
        yield* Effect.gen(function* () {
          const first = yield* Config.set(Limit, 1, { actor: "ada" })
          yield* Config.set(Limit, 2, { actor: "ada" })
          yield* ChangeHistory.rollback(Limit, { to: first.revision, actor: "bob" })
          const { records } = yield* ChangeHistory.ofKey(Limit)
          assert.deepStrictEqual(
            records.map(({ changedBy, value }) => [changedBy, value]),
            [
              ["bob", 1],
              ["ada", 2],
              ["ada", 1]
            ]
          )
          assert.strictEqual(records[0]?.origin?.split("@")[0], role.user)
          assert.strictEqual(yield* ChangeHistory.verify, 0)
          const refused = yield* Effect.flip(ChangeHistory.purge({ keepDays: 1 }))
          assert.include(refused.message, "{ purge: true }")
          yield* Catalog.runScript(acme, Ddl.grants(role.user, { purge: true }))
          assert.strictEqual(yield* ChangeHistory.purge({ keepDays: 1 }), 0)
        }).pipe(withTenant("acme"), Effect.provide(plane))
      })
  )

  it.effect(
    "since: a change of a transaction that commits late is emitted, though later ones were emitted before; a made-up cursor is a Reset",
    () =>
      TestPlane.onAcme((acme) =>
        Effect.gen(function* () {
          const first = yield* nextEvent()
          const late = yield* TestDatabase.connect(acme.url)
          const next = yield* Effect.context<ChangeHistory>()
          const seen = yield* late.transaction(
            Effect.gen(function* () {
              yield* late.run(
                "INSERT INTO systemplane_entries (namespace, key, value) VALUES ($1, $2, '5') ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value",
                [Burst.namespace, Burst.key]
              )
              yield* acme.write(Limit.namespace, Limit.key, 1)
              return yield* nextEvent(first.cursor).pipe(Effect.provide(next), Effect.orDie)
            })
          )
          assert.strictEqual(keyOf(seen), Limit.key)
          assert.strictEqual(keyOf(yield* nextEvent(seen.cursor)), Burst.key)

          // A client may have made up a cursor, or changed one: then there is no such place.
          const cursor = JSON.parse(Buffer.from(seen.cursor, "base64url").toString())
          for (const change of [
            { id: 1.5 },
            { id: 1e30 },
            { change: "one" },
            { system: "\0" },
            ...["5:3:", "1:1:5", "1:5:2,1", "1:5:2,,3", "0:0:", "5:4294967296:"].map((snapshot) => ({ snapshot }))
          ]) {
            const changed = Buffer.from(JSON.stringify({ ...cursor, ...change })).toString("base64url")
            assert.strictEqual((yield* nextEvent(changed))._tag, "Reset", JSON.stringify(change))
          }
        })
      )
  )
})

const nextEvent = (cursor?: string) =>
  Effect.map(
    Effect.flatMap(ChangeHistory, (history) => Stream.runHead(history.since(cursor))),
    Option.getOrThrow
  )

const keyOf = (event: Effect.Success<ReturnType<typeof nextEvent>>) =>
  event._tag === "Change" ? event.change.records[0]?.key : undefined
