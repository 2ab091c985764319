import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Config, TenantId, TenantManager, type TenantState, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { breathe, make, withRandom } from "./plane.ts"

const acmeId = TenantId.make("acme")

const stateOf = (tenant: string) =>
  TenantManager.use((manager) => manager.status(tenant)).pipe(
    Effect.map(Option.match({ onNone: () => "none", onSome: (status): TenantState | "none" => status.state }))
  )

const call = (what: "activate" | "suspend" | "remove" | "rotateCredentials", tenant = "acme") =>
  TenantManager.use((manager) => manager[what](tenant))

const inBackground = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.forkScoped(Effect.exit(effect), { startImmediately: true })

const limit = Config.get(Limit).pipe(withTenant("acme"))

describe("behaviour 5: lifecycle", () => {
  it.effect("calls may be repeated", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    return Effect.gen(function* () {
      yield* Effect.all([call("activate"), call("activate"), call("activate")], { concurrency: "unbounded" })
      assert.deepStrictEqual([acme.attempts.length, acme.open], [1, 1])
      yield* Effect.all([call("suspend"), call("suspend")], { concurrency: "unbounded" })
      yield* call("suspend")
      assert.deepStrictEqual([yield* stateOf("acme"), acme.open], ["suspended", 0])
      yield* call("remove")
      yield* call("remove")
      assert.strictEqual(yield* stateOf("acme"), "none")
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("calls for a tenant that nobody mentioned do nothing", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* call("suspend")
      yield* call("remove")
      yield* call("rotateCredentials")
      assert.deepStrictEqual([plane.tenant("acme").attempts, yield* stateOf("acme")], [[], "none"])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("a malformed id is refused before anything happens", () => {
    const plane = make()
    return Effect.gen(function* () {
      for (const what of ["activate", "suspend", "remove", "rotateCredentials"] as const) {
        assert.strictEqual((yield* Effect.flip(call(what, "no/way"))).reason._tag, "InvalidTenantId")
      }
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("the newest intent wins, also over an activation that hangs", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    acme.opening = "hang"
    return Effect.gen(function* () {
      const activation = yield* inBackground(call("activate"))
      yield* breathe
      yield* call("suspend")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(activation)))
      assert.strictEqual(yield* stateOf("acme"), "suspended")

      const again = yield* inBackground(call("activate"))
      yield* breathe
      yield* call("remove")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(again)))
      assert.strictEqual(yield* stateOf("acme"), "none")

      acme.opening = "succeed"
      yield* call("activate")
      assert.deepStrictEqual([yield* stateOf("acme"), acme.open], ["live", 1])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("only activate brings back a tenant that is being removed", () => {
    const plane = make({ drainTimeout: 0 })
    plane.tenant("acme").releasing = "never"
    return Effect.gen(function* () {
      yield* call("activate")
      yield* inBackground(call("remove"))
      yield* call("suspend")
      assert.notStrictEqual(yield* stateOf("acme"), "suspended")
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("one tenant that hangs holds up no other", () => {
    const plane = make()
    plane.tenant("stuck").opening = "hang"
    return Effect.gen(function* () {
      yield* inBackground(call("activate", "stuck"))
      yield* breathe
      yield* call("activate")
      assert.strictEqual(yield* stateOf("acme"), "live")
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("handles the events of a tenant directory", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* manager.handle({ _tag: "TenantActivated", tenant: acmeId })
      assert.strictEqual(yield* stateOf("acme"), "live")
      yield* manager.handle({ _tag: "TenantCredentialsRotated", tenant: acmeId })
      assert.deepStrictEqual([yield* stateOf("acme"), acme.attempts.length, acme.open], ["live", 2, 1])
      yield* manager.handle({ _tag: "TenantSuspended", tenant: acmeId })
      assert.strictEqual(yield* stateOf("acme"), "suspended")
      yield* manager.handle({ _tag: "TenantDeleted", tenant: acmeId })
      assert.strictEqual(yield* stateOf("acme"), "none")
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect(
    "G4 after a rotation to credentials that do not work, the snapshot is trusted no longer than after any loss",
    () => {
      const plane = make()
      const acme = plane.tenant("acme")
      return Effect.gen(function* () {
        yield* call("activate")
        acme.opening = "fail"
        yield* inBackground(call("rotateCredentials"))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* stateOf("acme"), "stale")
      }).pipe(Effect.provide(plane.layer), withRandom(0.5))
    }
  )

  it.effect("a suspended tenant stays suspended when its credentials are rotated", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* call("activate")
      yield* call("suspend")
      yield* call("rotateCredentials")
      assert.deepStrictEqual([yield* stateOf("acme"), plane.tenant("acme").attempts.length], ["suspended", 1])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("tells each change of state", () => {
    const plane = make()
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      const seen = yield* Stream.runCollect(
        Stream.takeUntil(manager.statusChanges, (status) => status.state === "removed")
      ).pipe(Effect.forkScoped({ startImmediately: true }))
      yield* breathe
      yield* call("activate")
      yield* call("remove")
      assert.deepStrictEqual(
        (yield* Fiber.join(seen)).map((status) => status.state),
        ["activating", "live", "disconnected", "removed"]
      )
    }).pipe(Effect.provide(plane.layer))
  })
})

describe("activation on demand", () => {
  it.effect("the first read is answered by the database and activates the tenant behind it", () => {
    const plane = make({ activation: "onDemand" })
    const acme = plane.tenant("acme")
    acme.write(`${Limit.namespace}/${Limit.key}`, 7)
    acme.gate.closeUnsafe()
    return Effect.gen(function* () {
      assert.strictEqual(yield* limit, 7)
      assert.strictEqual(acme.statements, 1)
      acme.gate.openUnsafe()
      yield* TenantManager.use((manager) => manager.awaitLive("acme"))
      assert.strictEqual(yield* limit, 7)
      assert.strictEqual(acme.statements, 1)
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("where it is explicit, a read activates nothing", () => {
    const plane = make()
    return Effect.gen(function* () {
      assert.strictEqual(yield* limit, 600)
      yield* breathe
      assert.deepStrictEqual([plane.tenant("acme").attempts, yield* stateOf("acme")], [[], "none"])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("a tenant that only a read asked for is given up after three failures, until the next read", () => {
    const plane = make({ activation: "onDemand" })
    const nobody = plane.tenant("nobody")
    nobody.opening = "fail"
    nobody.clients = "no"
    const read = Effect.exit(Config.get(Limit)).pipe(withTenant("nobody"))
    return Effect.gen(function* () {
      yield* read
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual([nobody.attempts.length, yield* stateOf("nobody")], [3, "none"])
      yield* read
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(nobody.attempts.length, 6)
      nobody.opening = "succeed"
      yield* read
      yield* breathe
      assert.strictEqual(yield* stateOf("nobody"), "live")
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("a late read does not bring a removed tenant back", () => {
    const plane = make({ activation: "onDemand" })
    return Effect.gen(function* () {
      yield* call("activate")
      yield* call("remove")
      yield* limit
      yield* breathe
      assert.deepStrictEqual([plane.tenant("acme").attempts.length, yield* stateOf("acme")], [1, "none"])
    }).pipe(Effect.provide(plane.layer))
  })
})

describe("behaviour 10: drain", () => {
  it.effect("G12 releases every session, says so, and may be repeated; reads go to the database afterwards", () => {
    const plane = make()
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* call("activate")
      yield* call("activate", "globex")
      const report = { finished: ["acme", "globex"], unfinished: [] as Array<string> }
      assert.deepStrictEqual(yield* manager.drain(), report as any)
      assert.deepStrictEqual([plane.tenant("acme").open, plane.tenant("globex").open], [0, 0])
      assert.deepStrictEqual(yield* manager.drain(), report as any)
      assert.isTrue(yield* manager.isClosed)
      plane.tenant("acme").write(`${Limit.namespace}/${Limit.key}`, 7)
      assert.strictEqual(yield* limit, 7)
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("afterwards nothing is activated, awaited or watched", () => {
    const plane = make()
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      const waiting = yield* Effect.forkScoped(Effect.flip(manager.awaitLive("acme")), { startImmediately: true })
      yield* manager.drain()
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "Closed")
      assert.strictEqual((yield* Effect.flip(call("activate"))).reason._tag, "Closed")
      const watch = Stream.runDrain(Config.watch(Limit)).pipe(withTenant("acme"))
      const error = yield* Effect.flip(watch)
      assert.strictEqual(error.reason._tag, "Closed")
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("G12 keeps its budget where a session is never released, and names the tenant", () => {
    const plane = make({ drainTimeout: 0 })
    plane.tenant("acme").releasing = "never"
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* call("activate")
      yield* call("activate", "globex")
      const drain = yield* Effect.forkScoped(manager.drain({ timeout: "2 seconds" }), { startImmediately: true })
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(drain.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(drain), {
        finished: [TenantId.make("globex")],
        unfinished: [acmeId]
      })
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("a budget of zero returns at once, and the release goes on behind it", () => {
    const plane = make({ drainTimeout: 0 })
    const acme = plane.tenant("acme")
    const globex = plane.tenant("globex")
    globex.releasing = "never"
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* call("activate")
      yield* call("activate", "globex")
      assert.include((yield* manager.drain({ timeout: 0 })).unfinished, TenantId.make("globex"))
      yield* breathe
      assert.deepStrictEqual([acme.open, globex.open], [0, 1])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect(
    "reads go to the database from the moment of the drain, however long a session takes to be released",
    () => {
      const plane = make({ drainTimeout: 0 })
      const acme = plane.tenant("acme")
      acme.releasing = "never"
      return Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* call("activate")
        yield* manager.drain({ timeout: 0 })
        acme.write(`${Limit.namespace}/${Limit.key}`, 7)
        assert.deepStrictEqual([yield* stateOf("acme"), yield* limit], ["suspended", 7])
      }).pipe(Effect.provide(plane.layer))
    }
  )

  it.effect("a call that waits for a session to be released ends with the drain", () => {
    const plane = make({ drainTimeout: 0 })
    plane.tenant("acme").releasing = "never"
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* call("activate")
      const suspension = yield* inBackground(call("suspend"))
      const late = call("activate")
      yield* manager.drain({ timeout: 0 })
      yield* Fiber.join(suspension)
      assert.strictEqual((yield* Effect.flip(late)).reason._tag, "Closed")
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("closing the layer drains it within drainTimeout, also where a session is never released", () => {
    const plane = make({ drainTimeout: "3 seconds" })
    plane.tenant("acme").releasing = "never"
    return Effect.gen(function* () {
      const closing = yield* inBackground(Effect.provide(call("activate"), plane.layer))
      yield* breathe
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(closing)))
    })
  })
})
