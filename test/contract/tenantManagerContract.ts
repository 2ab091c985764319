import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Scope } from "effect"
import { Config, TenantManager } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { collect, until } from "../support/Observe.ts"
import { eventually } from "../support/TestDatabase.ts"
import { Acme, acme } from "./Acme.ts"
import { type Implementation, onPlane } from "./Implementation.ts"

const call = (what: "activate" | "suspend" | "remove" | "rotateCredentials" | "awaitLive") =>
  TenantManager.use((manager) => manager[what]("acme"))

const status = TenantManager.use((manager) => manager.status("acme"))

const stateBecomes = (state: string) =>
  eventually(
    state,
    Effect.map(
      status,
      Option.exists((status) => status.state === state)
    )
  )

const write = (value: unknown) => Acme.use((db) => db.write(Limit, value))

/** A server notices a closed socket a moment later. */
const become = (what: "listeners" | "sessions", count: number) =>
  Acme.use((db) =>
    eventually(
      `${count} ${what}`,
      Effect.map(db[what], (open) => open === count)
    )
  )

export const tenantManagerContract = <Database>({ database, name, plane }: Implementation<Database>) =>
  layer(database, { excludeTestServices: true, timeout: "30 seconds" })(`TenantManager: ${name}`, (it) => {
    const test = onPlane<Database, void>(it.effect, plane)

    test(
      "a tenant of the boot list is live; activating it again changes nothing",
      Effect.gen(function* () {
        assert.deepInclude(Option.getOrThrow(yield* status), { state: "live", failures: 0, lastError: undefined })
        yield* call("activate")
        yield* call("awaitLive")
        assert.strictEqual(yield* Acme.use((db) => db.listeners), 1)
        assert.deepStrictEqual(yield* TenantManager.use((manager) => manager.status("globex")), Option.none())
      })
    )

    test(
      "the first read activates a tenant in the background",
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* status, Option.none())
        assert.strictEqual(yield* Config.get(Limit), 600)
        yield* call("awaitLive")
        assert.strictEqual(yield* Acme.use((db) => db.listeners), 1)
      }),
      { tenants: [] }
    )

    test(
      "G12: a suspended tenant has no listener and is read from the database; activated again it has what changed",
      Effect.gen(function* () {
        yield* call("suspend")
        assert.strictEqual(Option.getOrThrow(yield* status).state, "suspended")
        yield* become("listeners", 0)
        yield* write(7)
        assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
        yield* call("activate")
        yield* become("listeners", 1)
        assert.strictEqual(yield* Config.get(Limit), 7)
      })
    )

    test(
      "G12: a removed tenant leaves no session; activated again it is rebuilt from the table",
      Effect.gen(function* () {
        yield* write(7)
        yield* eventually(
          "7",
          Effect.map(Config.get(Limit), (value) => value === 7)
        )
        yield* call("remove")
        assert.deepStrictEqual(yield* status, Option.none())
        yield* become("sessions", 0)
        yield* Acme.use((db) => db.erase(Limit))
        yield* call("activate")
        assert.deepInclude(yield* Config.entry(Limit), { value: 600 })
        yield* become("listeners", 1)
      })
    )

    test(
      "rotated: the session is another one, and what changes is heard of",
      Effect.gen(function* () {
        yield* call("rotateCredentials")
        assert.strictEqual(Option.getOrThrow(yield* status).state, "live")
        yield* become("listeners", 1)
        yield* write(7)
        yield* eventually(
          "7",
          Effect.map(Config.get(Limit), (value) => value === 7)
        )
      })
    )

    test(
      "G13: a session that is lost is replaced, and the states on the way are reported",
      Effect.scoped(
        Effect.gen(function* () {
          const manager = yield* TenantManager
          const states = yield* collect(manager.statusChanges)
          assert.strictEqual(yield* Acme.use((db) => db.killListeners), 1)
          const since = () => {
            const seen = states.map(({ state }) => state)
            return seen.includes("disconnected") ? seen.slice(seen.indexOf("disconnected")) : []
          }
          yield* until("live again", () => since().includes("live"))
          assert.deepStrictEqual(since(), ["disconnected", "live"])
          assert.strictEqual(yield* Acme.use((db) => db.listeners), 1)
        })
      )
    )

    test(
      "the newest intent wins, however they overlap",
      Effect.gen(function* () {
        yield* Effect.all(
          [call("activate"), call("suspend"), call("activate"), call("remove"), call("activate"), call("suspend")].map(
            Effect.exit
          ),
          { concurrency: "unbounded" }
        )
        yield* stateBecomes("suspended")
        yield* become("listeners", 0)
      })
    )

    test(
      "G12: a drained plane leaves no session, reads from the database, and activates nothing any more",
      Effect.gen(function* () {
        const manager = yield* TenantManager
        assert.deepStrictEqual(yield* manager.drain(), { finished: [acme], unfinished: [] })
        assert.isTrue(yield* manager.isClosed)
        yield* become("sessions", 0)
        yield* write(7)
        assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
        assert.strictEqual((yield* Effect.flip(call("activate"))).reason._tag, "Closed")
      })
    )

    it.effect("G12: a closed layer leaves no session", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(plane(), scope)
        yield* Effect.provide(become("listeners", 1), context)
        yield* Scope.close(scope, Exit.void)
        yield* Effect.provide(become("sessions", 0), context)
      })
    )
  })
