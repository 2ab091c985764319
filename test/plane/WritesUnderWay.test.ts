/** Writes that outlive their callers: a caller that stops waiting, and a layer that closes. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Config, ConfigKey, PgConnector, SystemplaneLive, SystemplaneReadThrough, withTenant } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as keys from "../support/keys.ts"
import { Greeting, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { silent } from "../support/TestPlane.ts"

const actor = { actor: "ada" }

const planes = {
  live: (drainTimeout: number) => SystemplaneLive({ keys: keys.all, tenants: ["acme"], drainTimeout }),
  "reading through": (_: number) => SystemplaneReadThrough({ keys: keys.all, bootstrap: "ensure" })
}

/** A plane in a scope of its own, by way of a proxy, with a row that another transaction holds until `release`. */
const make = Effect.fnUntraced(function* (name: keyof typeof planes, drainTimeout = 5000) {
  const acme = yield* TestDatabase.make
  const proxy = yield* FaultProxy.make
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const plane = yield* planes[name](drainTimeout).pipe(
    Layer.provide(PgConnector.layerRecord({ acme: { url: proxy.through(acme.url), listenUrl: acme.url } })),
    Layer.provide(silent),
    Layer.buildWithScope(scope)
  )
  const onPlane = <A, E>(effect: Effect.Effect<A, E, Config>) =>
    effect.pipe(withTenant("acme"), Effect.provideContext(plane))
  yield* onPlane(Config.set(Greeting, "before", actor))

  const holdRow = Effect.gen(function* () {
    const locked = yield* Deferred.make<void>()
    const released = yield* Deferred.make<void>()
    const holder = yield* Effect.forkScoped(
      acme.transaction(
        acme
          .run("SELECT 1 FROM systemplane_entries FOR UPDATE")
          .pipe(Effect.andThen(Deferred.succeed(locked, undefined)), Effect.andThen(Deferred.await(released)))
      )
    )
    yield* Deferred.await(locked)
    return Effect.andThen(Deferred.succeed(released, undefined), Fiber.join(holder))
  })
  const writerWaits = TestDatabase.eventually(
    "the write waits for the row",
    Effect.map(acme.run("SELECT 1 FROM pg_locks WHERE NOT granted"), (rows) => rows.length > 0)
  )
  return { acme, close: Scope.close(scope, Exit.void), holdRow, onPlane, proxy, writerWaits }
})

describe.each(["live", "reading through"] as const)("a write of a plane that is %s", (name) => {
  it.live("G10: goes on when its caller stops waiting, and its change id tells what became of it", () =>
    Effect.gen(function* () {
      const { acme, holdRow, onPlane, writerWaits } = yield* make(name)
      const change = { ...actor, changeId: crypto.randomUUID() }
      const release = yield* holdRow
      const write = onPlane(Config.set(Greeting, "after", change))
      const impatient = yield* Effect.forkScoped(Effect.timeoutOption(write, "100 millis"))
      yield* writerWaits
      assert.deepInclude(yield* Fiber.join(impatient), { _tag: "None" })
      yield* release
      const entry = yield* write
      assert.deepInclude(entry, { value: "after", updatedBy: "ada" })
      assert.deepStrictEqual(
        yield* acme.run("SELECT revision::int FROM systemplane_history WHERE change_id = $1", [change.changeId]),
        [{ revision: entry.revision }]
      )
    })
  )

  it.live("G10: that is under way when the layer closes comes to its end, and then everything fails with Closed", () =>
    Effect.gen(function* () {
      const { acme, close, holdRow, onPlane, writerWaits } = yield* make(name)
      const release = yield* holdRow
      const write = yield* Effect.forkScoped(onPlane(Config.set(Greeting, "after", actor)))
      yield* writerWaits
      const closing = yield* Effect.forkScoped(close)
      yield* release
      assert.deepInclude(yield* Fiber.join(write), { value: "after" })
      yield* Fiber.join(closing)
      for (const late of [
        Config.get(Limit),
        Config.entry(Limit),
        Config.snapshot,
        Config.list("texts"),
        Config.set(Limit, 1, actor),
        Config.setAll([ConfigKey.value(Limit, 1)], actor),
        Config.remove(Limit, actor)
      ] as ReadonlyArray<Effect.Effect<unknown, any, Config>>) {
        const { reason } = yield* Effect.flip(onPlane(late))
        assert.strictEqual((reason as { readonly _tag: string })._tag, "Closed")
      }
      yield* TestDatabase.eventually(
        "G12: no session is left",
        Effect.map(acme.sessions, (sessions) => sessions.length === 0)
      )
    })
  )
})

describe("a write whose answer never comes", () => {
  it.live("G10: a write that is not answered is unknown, and not interrupted, once closing has waited for it", () =>
    Effect.gen(function* () {
      const { close, onPlane, proxy } = yield* make("live", 200)
      const change = { ...actor, changeId: crypto.randomUUID() }
      yield* proxy.blackHole
      const write = yield* Effect.forkScoped(Effect.flip(onPlane(Config.set(Greeting, "after", change))), {
        startImmediately: true
      })
      yield* close
      assert.deepInclude((yield* Fiber.join(write)).reason, { _tag: "WriteOutcomeUnknown", changeId: change.changeId })
    })
  )
})

describe("setAll over a slow link", () => {
  it.live("setAll over a slow link writes 250 keys with 40 ms to and fro in one statement", () =>
    Effect.gen(function* () {
      const many = Array.from({ length: 250 }, (_, i) =>
        ConfigKey.make("many", `key-${i}`, { schema: Greeting.schema, defaultValue: "" })
      )
      const acme = yield* TestDatabase.make
      const proxy = yield* FaultProxy.make
      const plane = SystemplaneReadThrough({ keys: many, bootstrap: "ensure" }).pipe(
        Layer.provide(PgConnector.layerRecord({ acme: { url: proxy.through(acme.url), maxConnections: 1 } })),
        Layer.provide(silent)
      )
      yield* Effect.gen(function* () {
        yield* Config.get(many[0]!)
        yield* proxy.delay("20 millis")
        const entries = yield* Config.setAll(
          many.map((key, i) => ConfigKey.value(key, `${i}`, { ifRevision: 0 })),
          actor
        )
        assert.deepStrictEqual(
          entries.map(({ value }) => value),
          many.map((_, i) => `${i}`)
        )
        const transactions = yield* acme.run("SELECT count(DISTINCT xmin::text)::int AS count FROM systemplane_entries")
        assert.deepStrictEqual(transactions, [{ count: 1 }])
        const { reason } = yield* Effect.flip(
          Config.setAll(
            many.map((key, i) => ConfigKey.value(key, "x", i === 77 ? { ifRevision: 1_000_000 } : undefined)),
            actor
          )
        )
        assert.deepInclude(reason, { _tag: "RevisionConflict", key: "key-77" })
      }).pipe(withTenant("acme"), Effect.provide(plane))
    })
  )
})
