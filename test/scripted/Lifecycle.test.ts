import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scheduler, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Config, TenantId, TenantManager, type TenantState, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { breathe, limitKey, make, onPlane } from "./ScriptedPlane.ts"

const acmeId = TenantId.make("acme")

const eventTypes: Readonly<Record<string, string>> = {
  TenantActivated: "tenant.activated",
  TenantSuspended: "tenant.suspended",
  TenantDeleted: "tenant.deleted",
  TenantCredentialsRotated: "tenant.credentials.rotated"
}

const stateOf = (tenant: string) =>
  TenantManager.use((manager) => manager.status(tenant)).pipe(
    Effect.map(Option.match({ onNone: () => "none", onSome: (status): TenantState | "none" => status.state }))
  )

const call = (what: "activate" | "suspend" | "remove" | "rotateCredentials", tenant = "acme") =>
  TenantManager.use((manager) => manager[what](tenant))

const inBackground = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.forkScoped(Effect.exit(effect), { startImmediately: true })

const limit = Config.get(Limit).pipe(withTenant("acme"))

describe("the lifecycle of a tenant", () => {
  it.effect("calls of the manager may be repeated", () =>
    onPlane(function* ({ acme }) {
      yield* Effect.all([call("activate"), call("activate"), call("activate")], { concurrency: "unbounded" })
      assert.deepStrictEqual([acme.attempts.length, acme.open], [1, 1])
      yield* Effect.all([call("suspend"), call("suspend")], { concurrency: "unbounded" })
      yield* call("suspend")
      assert.deepStrictEqual([yield* stateOf("acme"), acme.open], ["suspended", 0])
      yield* call("remove")
      yield* call("remove")
      assert.strictEqual(yield* stateOf("acme"), "none")
    })
  )

  it.effect("calls for an unknown tenant do nothing", () =>
    onPlane(function* ({ acme }) {
      yield* call("suspend")
      yield* call("remove")
      yield* call("rotateCredentials")
      assert.deepStrictEqual([acme.attempts, yield* stateOf("acme")], [[], "none"])
    })
  )

  it.effect("a malformed tenant id is refused before anything happens", () =>
    onPlane(function* () {
      for (const what of ["activate", "suspend", "remove", "rotateCredentials"] as const) {
        assert.strictEqual((yield* Effect.flip(call(what, "no/way"))).reason._tag, "InvalidTenantId")
      }
    })
  )

  it.effect("the newest intent wins, also over an activation that hangs", () =>
    onPlane(function* ({ acme }) {
      acme.opening = "hang"
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
    })
  )

  it.effect("only activate brings back a tenant that is being removed", () =>
    onPlane({ drainTimeout: 0 }, function* ({ acme }) {
      acme.releasing = "never"
      yield* call("activate")
      yield* inBackground(call("remove"))
      yield* call("suspend")
      assert.notStrictEqual(yield* stateOf("acme"), "suspended")
    })
  )

  it.effect("one tenant that hangs holds up no other", () =>
    onPlane(function* ({ tenant }) {
      tenant("stuck").opening = "hang"
      yield* inBackground(call("activate", "stuck"))
      yield* breathe
      yield* call("activate")
      assert.strictEqual(yield* stateOf("acme"), "live")
    })
  )

  for (const [form, event] of [
    ["its own events", (_tag: string) => ({ _tag, tenant: "acme" })],
    [
      "the events of tenant-manager services",
      (tag: string) => ({ event_type: eventTypes[tag], tenant_id: "acme", event_id: "7", payload: { more: true } })
    ],
    ["such events as JSON text", (tag: string) => JSON.stringify({ event_type: eventTypes[tag], tenant_id: "acme" })]
  ] as const) {
    it.effect(`the manager handles ${form}`, () =>
      onPlane(function* ({ acme }) {
        const manager = yield* TenantManager
        yield* manager.handle(event("TenantActivated"))
        yield* breathe
        assert.strictEqual(yield* stateOf("acme"), "live")
        yield* manager.handle(event("TenantCredentialsRotated"))
        yield* breathe
        assert.deepStrictEqual([yield* stateOf("acme"), acme.attempts.length, acme.open], ["live", 2, 1])
        yield* manager.handle(event("TenantSuspended"))
        yield* breathe
        assert.strictEqual(yield* stateOf("acme"), "suspended")
        yield* manager.handle(event("TenantDeleted"))
        yield* breathe
        assert.strictEqual(yield* stateOf("acme"), "none")
      })
    )
  }

  it.effect("an event that is not about a tenant of ours is ignored, whatever its shape", () =>
    onPlane(function* ({ lines }) {
      const manager = yield* TenantManager
      const hostile = new Proxy({}, { get: () => assert.fail("a getter of an event ran"), has: () => false })
      const traps = new Proxy({}, { get: () => () => assert.fail("trap") })
      const throwing = new Proxy({}, traps)
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      for (const event of [
        undefined,
        null,
        7,
        "",
        "{",
        "acme",
        [],
        {},
        { event_type: "tenant.created", tenant_id: "acme" },
        { event_type: "tenant.activated", tenant_id: "no/way" },
        { event_type: "toString", tenant_id: "acme" },
        { event_type: "tenant.activated" },
        { _tag: "TenantRenamed", tenant: "acme" },
        hostile,
        throwing,
        proxy,
        { _tag: "TenantActivated", tenant: proxy },
        {
          event_type: "tenant.activated",
          get tenant_id() {
            throw new Error("getter")
          }
        }
      ]) {
        yield* manager.handle(event)
      }
      assert.deepStrictEqual([yield* manager.statuses, lines], [[], []])
    })
  )

  it.effect("an event is handled once it is recorded, however long the database takes", () =>
    onPlane(function* ({ acme }) {
      const manager = yield* TenantManager
      acme.opening = "hang"
      yield* manager.handle({ event_type: "tenant.activated", tenant_id: "acme" })
      acme.releasing = "never"
      yield* manager.handle({ event_type: "tenant.credentials.rotated", tenant_id: "acme" })
      yield* manager.handle({ event_type: "tenant.deleted", tenant_id: "acme" })
      yield* breathe
      assert.strictEqual(yield* stateOf("acme"), "none")
    })
  )

  it.effect("activate ends the pause of a tenant whose session was lost, and returns once it is live", () =>
    onPlane({ random: 1 }, function* ({ acme }) {
      yield* call("activate")
      acme.opening = "fail"
      acme.lose()
      yield* TestClock.adjust("1 minute")
      const attempts = acme.attempts.length
      const failed = yield* Effect.flip(call("activate"))
      assert.isDefined(failed.message)
      assert.strictEqual(acme.attempts.length, attempts + 1)
      acme.opening = "succeed"
      yield* call("activate")
      assert.deepStrictEqual([acme.attempts.length, yield* stateOf("acme")], [attempts + 2, "live"])
    })
  )

  it.effect("activate ends the pause of a tenant that could not be prepared, and fails with what it found", () =>
    onPlane({ random: 1, seedDefaults: true }, function* ({ acme }) {
      acme.clients = "no"
      acme.opening = "fail"
      yield* Effect.flip(call("activate"))
      yield* TestClock.adjust("1 minute")
      const attempts = acme.clientAttempts.length + acme.attempts.length
      yield* Effect.flip(call("activate"))
      assert.isAbove(acme.clientAttempts.length + acme.attempts.length, attempts)
      acme.clients = "yes"
      acme.opening = "succeed"
      yield* call("activate")
      assert.strictEqual(yield* stateOf("acme"), "live")
    })
  )

  it.effect(
    "activate and awaitLive return for a tenant that becomes live at any moment, however fibers take turns",
    () =>
      Effect.forEach(
        Array.from({ length: 25 }, (_, i) => 2 * i + 1),
        (turns) =>
          onPlane(function* () {
            const manager = yield* TenantManager
            const live = yield* Effect.forkScoped(manager.awaitLive("acme"), { startImmediately: true })
            yield* Effect.forkScoped(Effect.exit(call("activate")), { startImmediately: true })
            for (let i = 0; i < turns; i++) yield* Effect.yieldNow
            yield* call("activate")
            yield* Fiber.join(live)
          }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, 3 + (turns % 7))),
        { discard: true }
      )
  )

  it.effect(
    "G4: after a rotation to credentials that do not work the snapshot becomes stale as after any lost session",
    () =>
      onPlane({ random: 0.5 }, function* ({ acme }) {
        yield* call("activate")
        acme.opening = "fail"
        yield* inBackground(call("rotateCredentials"))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* stateOf("acme"), "stale")
      })
  )

  it.effect("a suspended tenant stays suspended when its credentials are rotated", () =>
    onPlane(function* ({ acme }) {
      yield* call("activate")
      yield* call("suspend")
      yield* call("rotateCredentials")
      assert.deepStrictEqual([yield* stateOf("acme"), acme.attempts.length], ["suspended", 1])
    })
  )

  it.effect("statusChanges emits each change of state", () =>
    onPlane(function* () {
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
    })
  )
})

describe("activation on demand", () => {
  it.effect("the first read is answered by the database and activates the tenant behind it", () =>
    onPlane({ activation: "onDemand" }, function* ({ acme }) {
      acme.write(limitKey, 7)
      acme.gate.closeUnsafe()
      assert.strictEqual(yield* limit, 7)
      assert.strictEqual(acme.statements, 1)
      acme.gate.openUnsafe()
      yield* TenantManager.use((manager) => manager.awaitLive("acme"))
      assert.strictEqual(yield* limit, 7)
      assert.strictEqual(acme.statements, 1)
    })
  )

  it.effect("with explicit activation a read activates nothing", () =>
    onPlane(function* ({ acme }) {
      assert.strictEqual(yield* limit, 600)
      yield* breathe
      assert.deepStrictEqual([acme.attempts, yield* stateOf("acme")], [[], "none"])
    })
  )

  it.effect("a tenant that only a read asked for is dropped after three failures, until the next read", () =>
    onPlane({ activation: "onDemand" }, function* ({ tenant }) {
      const nobody = tenant("nobody")
      nobody.opening = "fail"
      nobody.clients = "no"
      const read = Effect.exit(Config.get(Limit)).pipe(withTenant("nobody"))
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
    })
  )

  it.effect("a late read does not bring a removed tenant back", () =>
    onPlane({ activation: "onDemand" }, function* ({ acme }) {
      yield* call("activate")
      yield* call("remove")
      yield* limit
      yield* breathe
      assert.deepStrictEqual([acme.attempts.length, yield* stateOf("acme")], [1, "none"])
    })
  )
})

describe("drain", () => {
  it.effect(
    "G12: drain releases every session, says so, and may be repeated; reads go to the database afterwards",
    () =>
      onPlane(function* ({ acme, tenant }) {
        const manager = yield* TenantManager
        yield* call("activate")
        yield* call("activate", "globex")
        const report = { finished: ["acme", "globex"], unfinished: [] as Array<string> }
        // What is no duration counts as none.
        assert.deepStrictEqual(yield* manager.drain({ timeout: "soon" as any }), report as any)
        assert.deepStrictEqual([acme.open, tenant("globex").open], [0, 0])
        assert.deepStrictEqual(yield* manager.drain(), report as any)
        assert.isTrue(yield* manager.isClosed)
        acme.write(limitKey, 7)
        assert.strictEqual(yield* limit, 7)
      })
  )

  it.effect("after a drain no tenant can be activated, awaited or watched", () =>
    onPlane(function* () {
      const manager = yield* TenantManager
      const waiting = yield* Effect.forkScoped(Effect.flip(manager.awaitLive("acme")), { startImmediately: true })
      yield* manager.drain()
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "Closed")
      assert.strictEqual((yield* Effect.flip(call("activate"))).reason._tag, "Closed")
      const watch = Stream.runDrain(Config.watch(Limit)).pipe(withTenant("acme"))
      const error = yield* Effect.flip(watch)
      assert.strictEqual(error.reason._tag, "Closed")
    })
  )

  it.effect("G12: drain keeps its budget if a session is never released, and names the tenant", () =>
    onPlane({ drainTimeout: 0 }, function* ({ acme }) {
      acme.releasing = "never"
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
    })
  )

  it.effect("G12: drain with a budget of zero returns at once, and the release goes on behind it", () =>
    onPlane({ drainTimeout: 0 }, function* ({ acme, tenant }) {
      const globex = tenant("globex")
      globex.releasing = "never"
      const manager = yield* TenantManager
      yield* call("activate")
      yield* call("activate", "globex")
      assert.include((yield* manager.drain({ timeout: 0 })).unfinished, TenantId.make("globex"))
      yield* breathe
      assert.deepStrictEqual([acme.open, globex.open], [0, 1])
    })
  )

  it.effect("reads go to the database from the moment of the drain, however long a session takes to be released", () =>
    onPlane({ drainTimeout: 0 }, function* ({ acme }) {
      acme.releasing = "never"
      const manager = yield* TenantManager
      yield* call("activate")
      yield* manager.drain({ timeout: 0 })
      acme.write(limitKey, 7)
      assert.deepStrictEqual([yield* stateOf("acme"), yield* limit], ["suspended", 7])
    })
  )

  it.effect("a call that waits for a session to be released ends with the drain", () =>
    onPlane({ drainTimeout: 0 }, function* ({ acme }) {
      acme.releasing = "never"
      const manager = yield* TenantManager
      yield* call("activate")
      const suspension = yield* inBackground(call("suspend"))
      const late = call("activate")
      yield* manager.drain({ timeout: 0 })
      yield* Fiber.join(suspension)
      assert.strictEqual((yield* Effect.flip(late)).reason._tag, "Closed")
    })
  )

  it.effect("G12: closing the layer drains it within drainTimeout, even if a session is never released", () => {
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
