import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, References, Scheduler } from "effect"
import { TestClock } from "effect/testing"
import { ActivationError, SystemplaneLive, TenantId, TenantManager } from "effect-systemplane"
import * as StatusBoard from "../../src/layers/telemetry/StatusBoard.ts"
import * as Telemetry from "../../src/layers/telemetry/Telemetry.ts"
import { breathe, promptly, withRandom } from "../scripted/ScriptedPlane.ts"
import * as keys from "../support/keys.ts"
import * as ScriptedConnector from "../support/ScriptedConnector.ts"
import { withRegistry } from "./Series.ts"

const make = () => {
  const lines: Array<Record<string, unknown>> = []
  const connector = ScriptedConnector.make()
  const logger = Logger.make((options) => {
    const { annotations, level, message } = Logger.formatStructured.log(options)
    lines.push({ level, message, ...annotations })
  })
  const layer = SystemplaneLive({
    keys: keys.all,
    activation: "explicit",
    bootstrap: "skip",
    seedDefaults: false
  }).pipe(
    Layer.provide(connector.layer),
    Layer.provide([Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "Info")])
  )
  return { acme: connector.tenant("acme"), lines, layer }
}

/** A status board alone, and what it and others tell. */
const makeBoard = () => {
  const told: Array<unknown> = []
  const logger = Logger.make(({ message }) => void told.push(message))
  const board = StatusBoard.layer.pipe(Layer.provide(Telemetry.layer({ aggregateTenantThreshold: 10 })))
  return { told, layer: Layer.merge(board, Logger.layer([logger])) }
}

const refused =
  "Tenant acme, connect: the port is refused (ECONNREFUSED); start the server, or correct host and port in the URL"
const lost = "Tenant acme, session: the listening session ended; it is being opened again"

describe("the log", () => {
  it.effect("the log has one line for each change of state, with tenant, state, attempt and cause", () => {
    const { acme, layer, lines } = make()
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* manager.activate("acme")
      acme.opening = "fail"
      acme.lose()
      yield* TestClock.adjust("20 seconds")
      acme.opening = "succeed"
      yield* TestClock.adjust("40 seconds")
      yield* manager.suspend("acme")
      yield* manager.remove("acme")
      yield* breathe
      const acmeIs = (state: string, attempt: number) => ({
        message: `Tenant is ${state}`,
        tenant: "acme",
        state,
        attempt
      })
      assert.deepStrictEqual(lines, [
        { level: "INFO", ...acmeIs("activating", 0) },
        { level: "INFO", ...acmeIs("live", 0) },
        { level: "WARN", ...acmeIs("disconnected", 0), cause: lost },
        {
          level: "WARN",
          ...acmeIs("disconnected", 1),
          message: "Tenant is disconnected, now for another cause",
          cause: refused
        },
        { level: "WARN", ...acmeIs("stale", 3), cause: refused },
        { level: "INFO", ...acmeIs("live", 0) },
        { level: "INFO", ...acmeIs("disconnected", 0) },
        { level: "INFO", ...acmeIs("suspended", 0) },
        { level: "INFO", ...acmeIs("removed", 0) }
      ])
    }).pipe(Effect.provide(layer), withRandom(0.5))
  })

  it.effect("the log says why a tenant does not become live, once for each cause and not for each attempt", () => {
    const { acme, layer, lines } = make()
    acme.opening = "fail"
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* Effect.forkScoped(Effect.ignore(manager.activate("acme")))
      yield* promptly("the first attempt", () => acme.attempts.length === 1)
      yield* TestClock.adjust("1 minute")
      assert.isAbove(acme.attempts.length, 5)
      assert.deepStrictEqual(lines, [
        { level: "INFO", message: "Tenant is activating", tenant: "acme", state: "activating", attempt: 0 },
        {
          level: "WARN",
          message: "Tenant is activating, and the first attempt failed; it is tried again",
          tenant: "acme",
          state: "activating",
          attempt: 1,
          cause: refused
        }
      ])
    }).pipe(Effect.provide(layer), Effect.scoped, withRandom(0.5))
  })

  it.effect(
    "the log remembers the last hundred causes of a tenant that does not become live, and tells an older one anew",
    () => {
      const { layer, told } = makeBoard()
      return Effect.gen(function* () {
        const acme = TenantId.make("acme")
        const board = yield* StatusBoard.StatusBoard
        const failsFor = (cause: number) =>
          Effect.gen(function* () {
            // Of lines that follow each other within ten seconds some are only counted.
            yield* TestClock.adjust("1 minute")
            const before = told.length
            yield* board.update(acme, {
              state: "activating",
              lastError: ActivationError.of("acme", new ActivationError.BootTimedOut({ millis: cause }))
            })
            return told.length - before
          })
        for (let cause = 1; cause <= 101; cause++) assert.strictEqual(yield* failsFor(cause), 1)
        assert.deepStrictEqual([yield* failsFor(101), yield* failsFor(2), yield* failsFor(1)], [0, 0, 1])
      }).pipe(Effect.provide(layer), Effect.scoped, withRegistry)
    }
  )

  it.effect("the log logs a state before the fibers that wait for it go on", () => {
    const { layer, told } = makeBoard()
    return Effect.gen(function* () {
      const acme = TenantId.make("acme")
      const board = yield* StatusBoard.StatusBoard
      yield* board
        .until(acme, (status) => (status === undefined ? undefined : Exit.void))
        .pipe(
          Effect.andThen(Effect.sync(() => told.push("a caller goes on"))),
          Effect.forkScoped({ startImmediately: true })
        )
      // Fibers take turns after a few steps.
      yield* board.update(acme, { state: "live" }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, 3))
      yield* promptly("a caller goes on", () => told.length === 2)
      assert.deepStrictEqual(told.flat(), ["Tenant is live", "a caller goes on"])
    }).pipe(Effect.provide(layer), Effect.scoped, withRegistry)
  })
})
