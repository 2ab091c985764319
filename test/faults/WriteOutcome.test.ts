/**
 * The connection is cut at every boundary of every kind of write, and what the write says is held against the table.
 */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer } from "effect"
import { Config, ConfigKey, Ddl, PgConnector, SystemplaneReadThrough, withTenant } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as PgWrites from "../../src/layers/postgres/PgWrites.ts"
import * as keys from "../support/keys.ts"
import { Burst, Greeting, Limit } from "../support/keys.ts"
import { until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { silent } from "../support/TestPlane.ts"

const actor = { actor: "ada" }

type Outcome = "landed" | "conflict" | "unavailable" | "unknown"

/** A prepared database, which these tests share. */
class Acme extends Context.Service<Acme, TestDatabase.TestDatabase>()("test/WriteOutcome/Acme") {
  static readonly layer = Layer.effect(
    Acme,
    Effect.tap(TestDatabase.make, (acme) =>
      Effect.forEach(
        Ddl.parts.flatMap((part) => part.statements),
        (statement) => acme.run(statement)
      )
    )
  )
}

/** One connection to it, by way of a proxy: nothing but what a test does is on the wire. */
const make = Effect.gen(function* () {
  const acme = yield* Acme
  const proxy = yield* FaultProxy.make
  const plane = yield* SystemplaneReadThrough({ keys: keys.all }).pipe(
    Layer.provide(PgConnector.layerRecord({ acme: { url: proxy.through(acme.url), maxConnections: 1 } })),
    Layer.provide(silent),
    Layer.build
  )
  const onPlane = <A, E>(effect: Effect.Effect<A, E, Config>) =>
    effect.pipe(withTenant("acme"), Effect.provideContext(plane))

  /** The rows before each write: Greeting and Limit there, Burst not. Returns their revisions. */
  const reset = Effect.gen(function* () {
    yield* acme.run("DELETE FROM systemplane_entries")
    const [greeting, limit] = [
      yield* acme.write(Greeting.namespace, Greeting.key, "before"),
      yield* acme.write(Limit.namespace, Limit.key, 1)
    ]
    return { greeting, limit }
  })

  /**
   * What a write came to, with the connection cut once `after` pieces have passed; `undefined` if it ended before that.
   */
  const cutAt = <A>(direction: FaultProxy.Direction, after: number, write: Effect.Effect<A, any, Config>) =>
    Effect.gen(function* () {
      // A connection is there, and the statements of a read are not those of a write.
      yield* onPlane(Config.get(Greeting))
      yield* proxy.hold(direction, after)
      const fiber = yield* Effect.forkScoped(Effect.exit(onPlane(write)), { startImmediately: true })
      yield* TestDatabase.eventually(
        "a piece is held, or the write ended",
        Effect.map(proxy.underWay(direction), (held) => held > 0 || fiber.pollUnsafe() !== undefined)
      )
      const ended = fiber.pollUnsafe() !== undefined
      if (!ended) yield* proxy.cut
      yield* proxy.release
      const exit = yield* Fiber.join(fiber)
      return ended ? undefined : outcomeOf(exit)
    })

  return { acme, cutAt, onPlane, proxy, reset }
})

const outcomeOf = (exit: Exit.Exit<unknown, any>): Outcome => {
  if (Exit.isSuccess(exit)) return "landed"
  const [reason] = exit.cause.reasons
  assert.strictEqual(reason?._tag, "Fail", `a failure, not a defect: ${exit.cause}`)
  const { error } = reason as { readonly error: { readonly reason: { readonly _tag: string } } }
  if (error.reason._tag === "WriteOutcomeUnknown") return "unknown"
  if (error.reason._tag === "Unavailable") return "unavailable"
  assert.strictEqual(error.reason._tag, "RevisionConflict")
  return "conflict"
}

interface Revisions {
  readonly greeting: number
  readonly limit: number
}

type Change = typeof actor & { readonly changeId?: string }

interface Write {
  readonly name: string
  readonly run: (revisions: Revisions, change: Change) => Effect.Effect<unknown, any, Config>
  /** How many records it leaves. */
  readonly records: number
  /** Whether the table shows that it landed. */
  readonly landed: (values: Readonly<Record<string, unknown>>) => boolean
  /** If the table has no history: what it says if the message to the server was lost, and if the answer was. */
  readonly unrecorded: readonly [toServer: Outcome, toClient: Outcome]
}

const both = (values: Readonly<Record<string, unknown>>) => {
  assert.strictEqual(values[Limit.key] === 2, values[Burst.key] === 2, "all of it, or nothing")
  return values[Limit.key] === 2
}

const after = (values: Readonly<Record<string, unknown>>) => values[Greeting.key] === "after"

const gone = (values: Readonly<Record<string, unknown>>) => !(Greeting.key in values)

const writes: ReadonlyArray<Write> = [
  {
    name: "set",
    run: (_, change) => Config.set(Greeting, "after", change),
    records: 1,
    landed: after,
    unrecorded: ["unknown", "landed"]
  },
  {
    name: "set of the value that is there",
    run: (_, change) => Config.set(Greeting, "before", change),
    records: 1,
    landed: (values) => values[Greeting.key] === "before",
    unrecorded: ["unknown", "landed"]
  },
  {
    name: "set, guarded",
    run: ({ greeting }, change) => Config.set(Greeting, "after", { ...change, ifRevision: greeting }),
    records: 1,
    landed: after,
    unrecorded: ["unknown", "unknown"]
  },
  {
    name: "set, guarded, of a key without a row",
    run: (_, change) => Config.set(Burst, 2, { ...change, ifRevision: 0 }),
    records: 1,
    landed: (values) => values[Burst.key] === 2,
    unrecorded: ["unknown", "unknown"]
  },
  {
    name: "set, guarded, that loses",
    run: (_, change) => Config.set(Greeting, "after", { ...change, ifRevision: 1_000_000 }),
    records: 0,
    landed: after,
    unrecorded: ["unknown", "unknown"]
  },
  {
    name: "remove",
    run: (_, change) => Config.remove(Greeting, change),
    records: 1,
    landed: gone,
    unrecorded: ["unknown", "landed"]
  },
  {
    name: "remove, guarded",
    run: ({ greeting }, change) => Config.remove(Greeting, { ...change, ifRevision: greeting }),
    records: 1,
    landed: gone,
    unrecorded: ["unknown", "unknown"]
  },
  {
    name: "setAll",
    run: (_, change) => Config.setAll([ConfigKey.value(Limit, 2), ConfigKey.value(Burst, 2)], change),
    records: 2,
    landed: both,
    unrecorded: ["unknown", "landed"]
  },
  {
    name: "setAll, guarded",
    run: ({ limit }, change) =>
      Config.setAll(
        [ConfigKey.value(Limit, 2, { ifRevision: limit }), ConfigKey.value(Burst, 2, { ifRevision: 0 })],
        change
      ),
    records: 2,
    landed: both,
    unrecorded: ["unknown", "unknown"]
  }
]

/** Writes that write nothing, and what another writer does afterwards that a late copy could write over. */
const idle: ReadonlyArray<{
  readonly name: string
  readonly run: (change: Change) => Effect.Effect<unknown, any, Config>
  readonly outcome: Outcome
  /**
   * Which message after those of connecting is lost first: one has every second message lost, and the other the rest.
   */
  readonly from: number
  readonly meanwhile: (acme: TestDatabase.TestDatabase) => Effect.Effect<unknown>
}> = [
  {
    name: "remove of a key without a row",
    run: (change) => Config.remove(Burst, change),
    outcome: "landed",
    from: 4,
    meanwhile: (acme) => acme.write(Burst.namespace, Burst.key, 77)
  },
  {
    name: "set, guarded, of a key that has a row",
    run: (change) => Config.set(Greeting, "after", { ...change, ifRevision: 0 }),
    outcome: "conflict",
    from: 5,
    meanwhile: (acme) => acme.erase(Greeting.namespace, Greeting.key)
  }
]

const shared = { excludeTestServices: true, timeout: "30 seconds" } as const

const tableOf = ({ run }: TestDatabase.TestDatabase) =>
  Effect.map(
    run("SELECT key, value FROM systemplane_entries"),
    (rows): Readonly<Record<string, unknown>> => Object.fromEntries(rows.map(({ key, value }) => [key, value]))
  )

const recordsOf = ({ run }: TestDatabase.TestDatabase, changeId: string) =>
  Effect.map(run("SELECT 1 FROM systemplane_history WHERE change_id = $1", [changeId]), ({ length }) => length)

/** No statement of the plane's is under way any more: what the table shows now, it shows for good. */
const quiet = ({ name, run }: TestDatabase.TestDatabase) =>
  TestDatabase.eventually(
    "the server noticed",
    Effect.map(
      run("SELECT 1 FROM pg_stat_activity WHERE application_name = 'effect-systemplane' AND datname = $1", [name]),
      (rows) => rows.length <= 1
    )
  )

layer(Acme.layer, shared)(
  "G10: the connection is cut at each point, and the write comes to its end all the same:",
  (it) => {
    it.effect.each(writes)("$name", ({ landed, records, run }) =>
      Effect.gen(function* () {
        const { acme, cutAt, reset } = yield* make
        for (const direction of ["toServer", "toClient"] as const) {
          for (let passing = 0; ; passing++) {
            const changeId = crypto.randomUUID()
            const outcome = yield* cutAt(direction, passing, run(yield* reset, { ...actor, changeId }))
            if (outcome === undefined) {
              assert.isAbove(passing, 0)
              break
            }
            yield* quiet(acme)
            const where = `${direction} ${passing}`
            // The second statement asks why nothing was written: without its answer the plane cannot know, but nothing
            // was.
            const expected = records > 0 ? "landed" : passing === 0 ? "conflict" : "unavailable"
            assert.strictEqual(outcome, expected, where)
            assert.strictEqual(landed(yield* tableOf(acme)), records > 0, where)
            assert.strictEqual(yield* recordsOf(acme, changeId), records, where)
          }
        }
      })
    )

    it.effect.each(writes.filter(({ records }) => records > 0))(
      "$name, when a copy arrives late over the write of another",
      ({ records, run }) =>
        Effect.gen(function* () {
          const { acme, onPlane, proxy, reset } = yield* make
          const changeId = crypto.randomUUID()
          const revisions = yield* reset
          yield* onPlane(Config.get(Greeting))
          yield* proxy.hold("toServer")
          const write = yield* Effect.forkScoped(onPlane(run(revisions, { ...actor, changeId })), {
            startImmediately: true
          })
          yield* TestDatabase.eventually(
            "the first copy is held",
            Effect.map(proxy.underWay("toServer"), (held) => held > 0)
          )
          yield* proxy.strand
          yield* proxy.release
          yield* Fiber.join(write)
          for (const key of [Greeting, Limit, Burst]) yield* acme.write(key.namespace, key.key, 77)
          yield* proxy.deliver
          yield* TestDatabase.eventually(
            "the first copy arrived",
            Effect.map(proxy.underWay("toServer"), (held) => held === 0)
          )
          yield* quiet(acme)
          assert.deepStrictEqual(yield* tableOf(acme), { [Greeting.key]: 77, [Limit.key]: 77, [Burst.key]: 77 })
          assert.strictEqual(yield* recordsOf(acme, changeId), records)
        })
    )

    it.effect.each(idle)(
      "$name, when a copy arrives late that would find something to write by then, whichever message was lost as well",
      ({ from, meanwhile, outcome, run }) =>
        Effect.gen(function* () {
          const { acme, onPlane, proxy, reset } = yield* make
          for (let passing = from, ended = false; !ended; passing += 2) {
            yield* reset
            yield* onPlane(Config.get(Greeting))
            yield* proxy.hold("toServer")
            const fiber = yield* Effect.forkScoped(Effect.exit(onPlane(run(actor))), { startImmediately: true })
            const held = proxy.underWay("toServer")
            yield* TestDatabase.eventually(
              "the first copy is held",
              Effect.map(held, (pieces) => pieces > 0)
            )
            yield* proxy.strand
            const stranded = yield* held
            yield* proxy.hold("toServer", passing)
            yield* TestDatabase.eventually(
              "another piece is held, or the write ended",
              Effect.map(held, (pieces) => pieces > stranded || fiber.pollUnsafe() !== undefined)
            )
            ended = fiber.pollUnsafe() !== undefined
            if (!ended) yield* proxy.cutOthers
            yield* proxy.release
            assert.strictEqual(outcomeOf(yield* Fiber.join(fiber)), outcome, `${passing}`)
            yield* meanwhile(acme)
            const before = yield* tableOf(acme)
            yield* proxy.deliver
            yield* TestDatabase.eventually(
              "the first copy arrived",
              Effect.map(held, (pieces) => pieces === 0)
            )
            yield* quiet(acme)
            assert.deepStrictEqual(yield* tableOf(acme), before, `${passing}`)
          }
        })
    )

    it.effect.each(writes.filter(({ records }) => records > 0))(
      "$name, when two copies run at once",
      ({ landed, records, run }) =>
        Effect.gen(function* () {
          const { acme, onPlane, proxy, reset } = yield* make
          const changeId = crypto.randomUUID()
          const revisions = yield* reset
          yield* onPlane(Config.get(Greeting))
          const waiting = (count: number) =>
            TestDatabase.eventually(
              `${count} copies wait`,
              Effect.map(
                acme.run("SELECT 1 FROM pg_locks WHERE relation = 'systemplane_entries'::regclass AND NOT granted"),
                (rows) => rows.length === count
              )
            )
          const scope = yield* Effect.scope
          const write = yield* acme.transaction(
            Effect.gen(function* () {
              yield* acme.run("LOCK TABLE systemplane_entries IN SHARE ROW EXCLUSIVE MODE")
              const write = yield* Effect.forkIn(onPlane(run(revisions, { ...actor, changeId })), scope)
              yield* waiting(1)
              yield* proxy.strand
              yield* waiting(2)
              return write
            })
          )
          yield* Fiber.join(write)
          yield* proxy.deliver
          yield* quiet(acme)
          assert.isTrue(landed(yield* tableOf(acme)))
          assert.strictEqual(yield* recordsOf(acme, changeId), records)
        })
    )

    it.effect("remove of a key without a row, when a copy of an earlier process arrives late", () =>
      Effect.gen(function* () {
        const { acme, onPlane, reset } = yield* make
        yield* reset
        const changeId = crypto.randomUUID()
        yield* onPlane(Config.remove(Burst, { ...actor, changeId }))
        yield* acme.write(Burst.namespace, Burst.key, 77)
        const { key, namespace } = Burst
        const late = PgWrites.put(acme.run, [{ namespace, key, json: undefined }], { ...actor, id: changeId })
        assert.deepInclude((yield* Effect.orDie(late))[0], { deleted: undefined })
        assert.strictEqual((yield* tableOf(acme))[Burst.key], 77)
      })
    )

    it.effect("set, whose change id is used again with another content, is refused", () =>
      Effect.gen(function* () {
        const { onPlane, reset } = yield* make
        yield* reset
        const change = { ...actor, reason: "why", changeId: crypto.randomUUID() }
        const first = yield* onPlane(Config.set(Greeting, "after", change))
        assert.deepStrictEqual((yield* onPlane(Config.set(Greeting, "after", change))).revision, first.revision)
        const { reason } = yield* Effect.flip(onPlane(Config.set(Greeting, "other", change)))
        assert.deepInclude(reason, { _tag: "ChangeIdReused", changeId: change.changeId })
      })
    )
  }
)

layer(Acme.layer, shared)("G10: on a database without a history an unanswered write is not sent again:", (it) => {
  it.effect.each(writes)("$name", ({ run, unrecorded }) =>
    Effect.gen(function* () {
      const { acme, cutAt, reset } = yield* make
      yield* acme.run("DROP TABLE IF EXISTS systemplane_history CASCADE")
      for (const [i, direction] of (["toServer", "toClient"] as const).entries()) {
        assert.strictEqual(yield* cutAt(direction, 0, run(yield* reset, actor)), unrecorded[i], direction)
        yield* quiet(acme)
      }
    })
  )
})

layer(Acme.layer, shared)("G10: a write that waits for a row", (it) => {
  it.effect("a write that waits for a row gives up while its outcome is still known", () =>
    Effect.gen(function* () {
      const { acme } = yield* make
      yield* acme.write(Greeting.namespace, Greeting.key, "held")
      const plane = SystemplaneReadThrough({ keys: keys.all }).pipe(
        Layer.provide(PgConnector.layerSingle({ url: acme.url })),
        Layer.provide(silent)
      )
      let locked = false
      const holder = yield* Effect.forkScoped(
        acme.transaction(
          Effect.gen(function* () {
            yield* acme.run("SELECT 1 FROM systemplane_entries FOR UPDATE")
            locked = true
            return yield* Effect.never
          })
        )
      )
      yield* until("the row is locked", () => locked)
      yield* Effect.gen(function* () {
        const reasons = yield* Effect.forEach(
          [
            Config.set(Greeting, "x", actor),
            Config.set(Greeting, "x", { ...actor, ifRevision: 1 }),
            Config.remove(Greeting, actor),
            Config.setAll([ConfigKey.value(Greeting, "x"), ConfigKey.value(Burst, 1)], actor)
          ],
          (write) => Effect.map(Effect.flip<unknown, any, any>(write), ({ reason }) => reason),
          { concurrency: "unbounded" }
        )
        for (const reason of reasons) {
          assert.strictEqual(reason._tag, "Unavailable")
          assert.include(reason.message, "another transaction still holds the row")
        }
        yield* Fiber.interrupt(holder)
        assert.deepInclude(yield* Config.set(Greeting, "now", actor), { value: "now" })
      }).pipe(Effect.provide(plane)) as Effect.Effect<void>
    })
  )
})
