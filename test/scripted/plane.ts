/** The whole plane over a scripted connector, under the test's clock. */
import { Effect, Layer, Logger, type Option, Random, References } from "effect"
import { SystemplaneLive, type SystemplaneOptions, type TenantId } from "effect-systemplane"
import * as keys from "../support/keys.ts"
import * as ScriptedConnector from "../support/ScriptedConnector.ts"
import { silent } from "../support/TestPlane.ts"

export const make = (
  options: Partial<SystemplaneOptions> = {},
  sole?: Option.Option<TenantId>,
  logging: Layer.Layer<never> = silent
) => {
  const connector = ScriptedConnector.make(sole)
  const layer = SystemplaneLive({
    keys: keys.all,
    tenants: [],
    activation: "explicit",
    bootstrap: "skip",
    seedDefaults: false,
    ...options
  }).pipe(Layer.provide(connector.layer), Layer.provide(logging))
  return { ...connector, layer }
}

/** Collects what is logged, from `Info` up. */
export const capture = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ message }) => {
    lines.push(String(message))
  })
  return { lines, layer: Layer.merge(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "Info")) }
}

/** Fixes what is drawn at random: delays become exact. */
export const withRandom = (drawn: number) =>
  Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => drawn })

/** Lets everything that is ready run, without any time passing, until the condition holds. */
export const promptly = (what: string, condition: () => boolean) =>
  Effect.gen(function* () {
    for (let i = 0; i < 10_000; i++) {
      if (condition()) return
      yield* Effect.yieldNow
    }
    return yield* Effect.die(new Error(`did not happen at once: ${what}`))
  })

/** Lets everything that is ready run. */
export const breathe = Effect.repeat(Effect.yieldNow, { times: 200 })
