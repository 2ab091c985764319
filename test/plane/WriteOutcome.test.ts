/** The connection is cut at every boundary of every kind of write, and what the write says is held against the table. */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer } from "effect"
import { Config, ConfigKey, Ddl, PgConnector, SystemplaneReadThrough, withTenant } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as keys from "../support/keys.ts"
import { Burst, Greeting, Limit } from "../support/keys.ts"
import { until } from "../support/observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { silent } from "../support/TestPlane.ts"

const actor = { actor: "ada" }

type Outcome = "landed" | "did not land" | "unknown"

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

  /** What a write came to, with the connection cut once `after` pieces have passed; `undefined` where it ended before that. */
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

  return { acme, cutAt, reset }
})

const outcomeOf = (exit: Exit.Exit<unknown, any>): Outcome => {
  if (Exit.isSuccess(exit)) return "landed"
  const [reason] = exit.cause.reasons
  assert.strictEqual(reason?._tag, "Fail", `a failure, not a defect: ${exit.cause}`)
  const { error } = reason as { readonly error: { readonly reason: { readonly _tag: string } } }
  if (error.reason._tag === "WriteOutcomeUnknown") return "unknown"
  assert.strictEqual(error.reason._tag, "Unavailable")
  return "did not land"
}

interface Write {
  readonly name: string
  readonly run: (revisions: {
    readonly greeting: number
    readonly limit: number
  }) => Effect.Effect<unknown, any, Config>
  /** Whether the table shows that it landed. */
  readonly landed: (values: Readonly<Record<string, unknown>>) => boolean
  /** What it says where a message to the server was lost, and where the answer to it was, message by message. */
  readonly says: Readonly<Record<FaultProxy.Direction, ReadonlyArray<Outcome>>>
}

const both = (i: number | undefined) => (values: Readonly<Record<string, unknown>>) => {
  assert.strictEqual(values[Limit.key] === 2, values[Burst.key] === i, "all of it, or nothing")
  return values[Limit.key] === 2
}

const writes: ReadonlyArray<Write> = [
  {
    name: "set",
    run: () => Config.set(Greeting, "after", actor),
    landed: (values) => values[Greeting.key] === "after",
    says: { toServer: ["unknown"], toClient: ["landed"] }
  },
  {
    name: "set, guarded: whose row it is, the row does not tell",
    run: ({ greeting }) => Config.set(Greeting, "after", { ...actor, ifRevision: greeting }),
    landed: (values) => values[Greeting.key] === "after",
    says: { toServer: ["unknown"], toClient: ["unknown"] }
  },
  {
    name: "set, guarded, that lost: it asks for the actual revision only once nothing was written",
    run: () => Config.set(Greeting, "after", { ...actor, ifRevision: 1_000_000 }),
    landed: (values) => values[Greeting.key] === "after",
    says: { toServer: ["unknown", "did not land"], toClient: ["unknown", "did not land"] }
  },
  {
    name: "remove",
    run: () => Config.remove(Greeting, actor),
    landed: (values) => !(Greeting.key in values),
    says: { toServer: ["unknown"], toClient: ["landed"] }
  },
  {
    name: "remove, guarded",
    run: ({ greeting }) => Config.remove(Greeting, { ...actor, ifRevision: greeting }),
    landed: (values) => !(Greeting.key in values),
    says: { toServer: ["unknown"], toClient: ["unknown"] }
  },
  {
    name: "remove, guarded, that lost",
    run: () => Config.remove(Greeting, { ...actor, ifRevision: 1_000_000 }),
    landed: (values) => !(Greeting.key in values),
    says: { toServer: ["unknown", "did not land"], toClient: ["unknown", "did not land"] }
  },
  {
    name: "setAll: nothing lands without its COMMIT",
    run: () => Config.setAll([ConfigKey.value(Limit, 2), ConfigKey.value(Burst, 2)], actor),
    landed: both(2),
    says: {
      toServer: ["did not land", "did not land", "did not land", "unknown"],
      toClient: ["did not land", "did not land", "did not land", "landed"]
    }
  },
  {
    name: "setAll, guarded",
    run: ({ limit }) =>
      Config.setAll(
        [ConfigKey.value(Limit, 2, { ifRevision: limit }), ConfigKey.value(Burst, 2, { ifRevision: 0 })],
        actor
      ),
    landed: both(2),
    says: {
      toServer: ["did not land", "did not land", "did not land", "unknown"],
      toClient: ["did not land", "did not land", "did not land", "unknown"]
    }
  }
]

const shared = { excludeTestServices: true, timeout: "30 seconds" } as const

layer(Acme.layer, shared)("G10: the connection is cut at each point of", (it) => {
  it.effect.each(writes)("$name", ({ landed, run, says }) =>
    Effect.gen(function* () {
      const { acme, cutAt, reset } = yield* make
      const table = Effect.map(
        acme.run("SELECT key, value FROM systemplane_entries"),
        (rows): Readonly<Record<string, unknown>> => Object.fromEntries(rows.map(({ key, value }) => [key, value]))
      )
      for (const direction of ["toServer", "toClient"] as const) {
        const said: Array<Outcome> = []
        for (let after = 0; after < 10; after++) {
          const revisions = yield* reset
          const outcome = yield* cutAt(direction, after, run(revisions))
          if (outcome === undefined) break
          said.push(outcome)
          // Nobody works on it any more: what the table shows now, it shows for good.
          yield* TestDatabase.eventually(
            "the server noticed",
            Effect.map(
              acme.run(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'effect-systemplane' AND datname = $1",
                [acme.name]
              ),
              (rows) => rows.length <= 1
            )
          )
          const there = landed(yield* table)
          if (outcome === "landed") assert.isTrue(there, `${direction} ${after}: it says that it landed`)
          if (outcome === "did not land") assert.isFalse(there, `${direction} ${after}: it says that it did not land`)
        }
        assert.deepStrictEqual(said, says[direction], direction)
      }
    })
  )
})

layer(Acme.layer, shared)("G10: a write that waits for a row", (it) => {
  it.effect("gives up while the outcome is still known: another transaction held the row", () =>
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
          assert.include(reason.message, "another transaction holds the row")
        }
        yield* Fiber.interrupt(holder)
        assert.deepInclude(yield* Config.set(Greeting, "now", actor), { value: "now" })
      }).pipe(Effect.provide(plane)) as Effect.Effect<void>
    })
  )
})
