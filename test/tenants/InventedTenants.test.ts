/** Ids of tenants that do not exist, as requests may carry them: what they cost the tenants that do. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { TestClock } from "effect/testing"
import {
  Config,
  ConnectorError,
  PgConnector,
  SystemplaneLive,
  TenantId,
  TenantManager,
  withTenant
} from "effect-systemplane"
import * as MissingTenants from "../../src/layers/runtime/MissingTenants.ts"
import * as NewestFirst from "../../src/layers/runtime/NewestFirst.ts"
import * as CountingConnector from "../support/CountingConnector.ts"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"

const read = (tenant: string) => Config.get(Limit).pipe(withTenant(tenant))

/** A plane over the test's server, where the id of a tenant is the name of its database. */
const onServer = (lines: Array<string>) =>
  Effect.gen(function* () {
    const [real, later] = [yield* TestDatabase.make, yield* TestDatabase.make]
    const url = Redacted.make(Redacted.value(real.url).replace(real.name, "{tenant}"))
    const { layer, sent } = CountingConnector.make(PgConnector.layerTemplate({ url }))
    const logger = Logger.make((options) => {
      const { annotations, level, message } = Logger.formatStructured.log(options)
      if (level !== "DEBUG") lines.push(JSON.stringify({ message, annotations }))
    })
    const plane = SystemplaneLive({ keys: keys.all, tenants: [real.name] }).pipe(
      Layer.provide(layer),
      Layer.provide(Logger.layer([logger]))
    )
    return { real, later, sent, plane }
  })

describe("tenant ids that requests invent", () => {
  it.live(
    "G11: while 100 invented tenants are read at a time, a real one answers and another is activated",
    () => {
      const lines: Array<string> = []
      return Effect.gen(function* () {
        const { later, plane, real, sent } = yield* onServer(lines)
        yield* Effect.gen(function* () {
          yield* TenantManager.use((manager) => manager.awaitLive(real.name))
          // A hundred at a time, until the real ones are done.
          let invented = 0
          const found = yield* Deferred.make<string>()
          const one = Effect.suspend(() => {
            const tenant = `invented_${invented++}`
            return Effect.flatMap(Effect.flip(read(tenant)), ({ message }) =>
              message.includes("3D000") ? Deferred.succeed(found, tenant) : Effect.void
            )
          })
          const flood = yield* Effect.forkScoped(
            Effect.all(
              Array.from({ length: 100 }, () => Effect.forever(one)),
              { concurrency: "unbounded" }
            )
          )
          const missing = yield* Deferred.await(found)
          yield* TenantManager.use((manager) => manager.activate(later.name))
          assert.strictEqual(yield* read(later.name), 600)
          assert.strictEqual(yield* read(real.name), 600)
          yield* Fiber.interrupt(flood)
          const health = yield* TenantManager.use((manager) => manager.health)
          assert.strictEqual(health.status, "live")
          assert.isFalse(JSON.stringify(health).includes("invented_"))

          // One that was found missing is remembered.
          const { clients, sessions } = sent
          const again = yield* Effect.flip(read(missing))
          assert.include(again.message, "3D000")
          assert.deepStrictEqual([sent.clients, sent.sessions], [clients, sessions])
        }).pipe(Effect.scoped, Effect.provide(plane))
        assert.deepStrictEqual(
          lines.filter((line) => line.includes("invented_")),
          []
        )
      })
    },
    // Slow only if the machine has much else to do.
    60_000
  )

  it.effect(
    "G11: the newest of those that wait is next; the oldest are refused beyond the limit, and after the longest wait",
    () =>
      Effect.gen(function* () {
        const turns = NewestFirst.make({ permits: 1, mostWaiting: 3, longestWait: 5000, refusal: "refused" })
        const order: Array<string> = []
        const one = (name: string) =>
          Effect.forkChild(
            turns.take.pipe(
              Effect.match({ onSuccess: () => name, onFailure: (refusal) => `${name} ${refusal}` }),
              Effect.tap((outcome) => Effect.sync(() => order.push(outcome)))
            ),
            { startImmediately: true }
          )
        const settled = Effect.repeat(Effect.yieldNow, { times: 5 })
        yield* one("first")
        for (const name of ["a", "b"]) yield* one(name)
        const impatient = yield* one("impatient")
        // Beyond the limit: the oldest is refused.
        yield* one("c")
        yield* settled
        assert.deepStrictEqual(order, ["first", "a refused"])
        // One that leaves takes no turn, and the next one is the newest.
        yield* Fiber.interrupt(impatient)
        yield* turns.release
        yield* settled
        assert.deepStrictEqual(order.slice(2), ["c"])
        yield* TestClock.adjust(5000)
        yield* one("d")
        yield* turns.release
        yield* settled
        assert.deepStrictEqual(order.slice(3), ["b refused", "d"])
      })
  )

  it("tenant ids that requests invent are remembered for half a minute, the last 10,000 of them", () => {
    const missing = MissingTenants.make()
    const error = ConnectorError.of(TenantId.make("none"), new ConnectorError.UnknownTenant())
    for (let number = 0; number < 10_050; number++) missing.add(TenantId.make(`invented_${number}`), error, 0)
    const found = (number: number, now: number) => missing.get(TenantId.make(`invented_${number}`), now) !== undefined
    assert.deepStrictEqual(
      [found(49, 1), found(50, 1), found(10_049, 29_999), found(10_049, 30_000)],
      [false, true, true, false]
    )
  })
})
