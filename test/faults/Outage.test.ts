import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Config, type TenantManager } from "effect-systemplane"
import type * as PostgresServer from "../../dev/PostgresServer.ts"
import { Burst, Limit } from "../support/keys.ts"
import { collect, until } from "../support/Observe.ts"
import { eventually, type TestDatabase } from "../support/TestDatabase.ts"
import { OwnServer } from "./OwnServer.ts"
import * as ProxiedPlane from "./ProxiedPlane.ts"

const write = (database: TestDatabase, value: unknown) => database.write(Limit.namespace, Limit.key, value)

const listenersAre = (acme: TestDatabase, expected: number) =>
  eventually(
    `${expected} listeners`,
    Effect.map(acme.listeners, (listeners) => listeners === expected)
  )

/** Cuts every connection, and waits until the server has ended those that listen; others may listen by then. */
const cut = ({ acme, proxy }: ProxiedPlane.World) =>
  Effect.gen(function* () {
    const listening = Effect.map(acme.sessions, (sessions) =>
      sessions.filter(({ name }) => name.endsWith("listen")).map(({ pid }) => pid)
    )
    const before = yield* listening
    yield* proxy.cut
    yield* eventually(
      "the server has ended what listened",
      Effect.map(listening, (now) => !now.some((pid) => before.includes(pid)))
    )
  })

/** How the session ends. Whatever it is, it leaves the gate shut: no new connection works until `proxy.pass`. */
type Fault = (world: ProxiedPlane.World) => Effect.Effect<void, never, TenantManager>

/**
 * A change is made while the gate is shut, and none after it is opened: until then the old value is in force and marked
 * stale, then the new one, and everybody hears of it exactly once.
 */
const appearsOnce = (fault: Fault, options: ProxiedPlane.PlaneOptions = {}) =>
  ProxiedPlane.run(
    (world) =>
      Effect.gen(function* () {
        const { acme, proxy } = world
        const handled: Array<readonly [number, number]> = []
        yield* Config.onChange(Limit, ({ revision, value }) => Effect.sync(() => handled.push([value, revision])))
        const changes = yield* collect(Config.changes(Limit))
        const before = yield* write(acme, 5)
        yield* ProxiedPlane.seen(Limit, 5)

        yield* fault(world)
        yield* ProxiedPlane.becomes("disconnected", "stale")
        const during = yield* write(acme, 7)
        const entry = yield* ProxiedPlane.entryOrLastKnown(Limit)
        assert.deepInclude(entry, { value: 5, revision: before, stale: true })
        assert.isDefined(entry.confirmedAt)

        yield* proxy.pass
        yield* ProxiedPlane.becomes("live")
        assert.deepInclude(yield* Config.entry(Limit), { value: 7, revision: during, stale: false })

        // What follows it shows that it was not announced a second time.
        const after = yield* write(acme, 8)
        yield* ProxiedPlane.seen(Limit, 8)
        yield* until("handled", () => handled.length >= 3 && changes.length >= 3)
        const expected = [
          [5, before],
          [7, during],
          [8, after]
        ] as const
        assert.deepStrictEqual(handled, [...expected])
        assert.deepStrictEqual(
          changes.map(({ revision, value }) => [value, revision] as const),
          [...expected]
        )
      }),
    { proxied: "everything", connectTimeout: "1 second", staleAfterFailures: 1_000_000, ...options }
  )

describe("a change made during an outage", () => {
  it.live("G1, G4: a change appears once after pg_terminate_backend", () =>
    appearsOnce(({ acme, proxy }) =>
      Effect.gen(function* () {
        yield* proxy.refuse
        assert.strictEqual(yield* acme.killListeners, 1)
        yield* listenersAre(acme, 0)
      })
    )
  )

  it.live("G1, G4: a change appears once after a cut", () =>
    appearsOnce(({ acme, proxy }) =>
      Effect.gen(function* () {
        yield* proxy.refuse
        yield* proxy.cut
        yield* listenersAre(acme, 0)
      })
    )
  )

  it.live("G1, G4: a change appears once after a cut and refused reconnects", () =>
    appearsOnce(({ proxy }) =>
      Effect.gen(function* () {
        yield* proxy.refuse
        yield* proxy.cut
        const before = yield* proxy.attempts
        yield* eventually(
          "refused ten times",
          Effect.map(proxy.attempts, (attempts) => attempts >= before + 10)
        )
      })
    )
  )

  it.live("G1, G4: a change appears once after a black hole that only a verification finds", () =>
    appearsOnce(
      ({ acme, proxy }) =>
        Effect.gen(function* () {
          yield* proxy.blackHole
          yield* ProxiedPlane.becomes("disconnected", "stale")
          assert.strictEqual(yield* acme.listeners, 1)
        }),
      { maxStaleness: "1 second" }
    )
  )

  it.live("G1, G4: a change appears once after a black hole in one direction, in which no answer arrives", () =>
    appearsOnce(
      ({ proxy }) =>
        Effect.gen(function* () {
          yield* proxy.refuse
          yield* proxy.lose("toClient")
        }),
      { maxStaleness: "1 second" }
    )
  )

  it.live("G1: a row deleted and created again during an outage appears, above every revision it had", () =>
    ProxiedPlane.run(({ acme, proxy }) =>
      Effect.gen(function* () {
        const before = yield* write(acme, 7)
        yield* ProxiedPlane.seen(Limit, 7)
        const changes = yield* collect(Config.changes(Limit))
        yield* proxy.refuse
        yield* proxy.cut
        yield* listenersAre(acme, 0)
        yield* acme.erase(Limit.namespace, Limit.key)
        const after = yield* write(acme, 9)
        assert.isAbove(after, before)
        yield* proxy.pass
        yield* ProxiedPlane.becomes("live")
        assert.deepInclude(yield* Config.entry(Limit), { value: 9, revision: after, stale: false })
        yield* until("heard of", () => changes.length > 1)
        assert.deepStrictEqual(
          changes.map(({ revision, value }) => [value, revision]),
          [
            [7, before],
            [9, after]
          ]
        )
      })
    )
  )

  it.live("G1: a row deleted during an outage leaves the default in force", () =>
    ProxiedPlane.run(({ acme, proxy }) =>
      Effect.gen(function* () {
        yield* write(acme, 7)
        yield* ProxiedPlane.seen(Limit, 7)
        yield* proxy.refuse
        yield* proxy.cut
        yield* listenersAre(acme, 0)
        yield* acme.erase(Limit.namespace, Limit.key)
        yield* proxy.pass
        yield* ProxiedPlane.becomes("live")
        assert.deepInclude(yield* Config.entry(Limit), { value: 600, revision: 0, source: "default", stale: false })
      })
    )
  )
})

describe("a feed that stays down", () => {
  it.live("G4: after three refused attempts reads go to the database, until the feed is back", () =>
    ProxiedPlane.run(({ acme, proxy }) =>
      Effect.gen(function* () {
        yield* proxy.refuse
        yield* proxy.cut
        yield* ProxiedPlane.becomes("stale")
        yield* write(acme, 7)
        assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
        yield* proxy.pass
        yield* ProxiedPlane.becomes("live")
        assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
      })
    )
  )
})

describe("a slow network", () => {
  const converges = (world: ProxiedPlane.World) =>
    Effect.gen(function* () {
      const { acme } = world
      const revisions = yield* collect(Config.changes(Limit))
      for (let value = 1; value <= 20; value++) {
        yield* write(acme, value)
        yield* acme.write(Burst.namespace, Burst.key, value)
      }
      yield* ProxiedPlane.seen(Limit, 20)
      yield* ProxiedPlane.seen(Burst, 20)
      // Connecting anew is as slow.
      yield* cut(world)
      const last = yield* write(acme, 21)
      yield* ProxiedPlane.seen(Limit, 21)
      yield* ProxiedPlane.becomes("live")
      assert.deepStrictEqual(
        revisions.map(({ revision }) => revision),
        revisions.map(({ revision }) => revision).toSorted((a, b) => a - b)
      )
      assert.strictEqual(revisions.at(-1)?.revision, last)
    })

  it.live("G1: no change is lost if everything arrives late", () =>
    ProxiedPlane.run((world) => Effect.andThen(world.proxy.delay("30 millis"), converges(world)))
  )

  it.live("G1: no change is lost if bytes trickle in", () =>
    ProxiedPlane.run((world) => Effect.andThen(world.proxy.trickle({ bytes: 17, every: "1 millis" }), converges(world)))
  )
})

layer(OwnServer.layer, { excludeTestServices: true, timeout: "60 seconds" })(
  "G1, G4: the server restarts; a change made before any session reconnected appears, exactly once",
  (it) => {
    const restart = (mode: PostgresServer.StopMode) =>
      Effect.flatMap(OwnServer, (server) =>
        appearsOnce(
          ({ acme, proxy }) =>
            Effect.gen(function* () {
              yield* proxy.refuse
              const [before] = yield* acme.run("SELECT pg_postmaster_start_time() AS time")
              yield* Effect.orDie(server.restart(mode))
              const [after] = yield* acme.run("SELECT pg_postmaster_start_time() AS time")
              assert.notDeepEqual(after, before)
              assert.strictEqual(yield* acme.listeners, 0)
            }),
          { server: server.url("postgres") }
        )
      )

    it.effect("G1: a change made during pg_ctl restart -m fast appears", () => restart("fast"), 60_000)

    it.effect("G1: a change made during pg_ctl restart -m immediate appears", () => restart("immediate"), 60_000)
  }
)
