/**
 * Sets up a whole plane over a scripted connector, under the test's clock.
 *
 * `onPlane` runs one test on such a plane. `make` is for the tests that need two planes, or that build the layer
 * themselves. Nothing here waits for real time: `promptly` and `breathe` let fibers run that are ready.
 */
import { Effect, Layer, Logger, Option, Random, References } from "effect"
import { SystemplaneLive, type SystemplaneOptions, TenantId, TenantManager, withTenant } from "effect-systemplane"
import * as keys from "../support/keys.ts"
import * as ScriptedConnector from "../support/ScriptedConnector.ts"
import { silent } from "../support/TestPlane.ts"

/** The names of keys as `ScriptedTenant.write` takes them. */
export const limitKey = `${keys.Limit.namespace}/${keys.Limit.key}`
export const burstKey = `${keys.Burst.namespace}/${keys.Burst.key}`

export interface PlaneOptions extends Partial<SystemplaneOptions> {
  /** The only tenant of a connector that has one; by default the connector has many. */
  readonly sole?: string
}

/** A scripted connector, and a plane over it that logs nothing. */
export const make = ({ sole, ...options }: PlaneOptions = {}, logging: Layer.Layer<never> = silent) => {
  const connector = ScriptedConnector.make(Option.map(Option.fromUndefinedOr(sole), (tenant) => TenantId.make(tenant)))
  const layer = SystemplaneLive({
    keys: keys.all,
    tenants: [],
    activation: "explicit",
    bootstrap: "skip",
    seedDefaults: false,
    ...options
  }).pipe(Layer.provide(connector.layer), Layer.provide(logging))
  return { ...connector, acme: connector.tenant("acme"), layer }
}

export type ScriptedPlane = Omit<ReturnType<typeof make>, "layer"> & {
  /** What was logged so far, from `Info` up. */
  readonly lines: ReadonlyArray<string>
}

export interface TestOptions extends PlaneOptions {
  /** The tenant of whom the test reads and writes if it names none. */
  readonly tenant?: string
  /** Fixes what is drawn at random, so that delays are exact. */
  readonly random?: number
}

/** Runs a test on a plane of its own. No tenant is active before the test activates one. */
export const onPlane: {
  <Eff extends Effect.Effect<any, any, any>, A>(test: Test<Eff, A>): Ran<Eff, A>
  <Eff extends Effect.Effect<any, any, any>, A>(options: TestOptions, test: Test<Eff, A>): Ran<Eff, A>
} = (...args: [Test<any, any>] | [TestOptions, Test<any, any>]): any => {
  const [{ random, tenant, ...options }, test] = args.length === 2 ? args : [{} as TestOptions, args[0]]
  return Effect.suspend(() => {
    const { layer: logging, lines } = capture()
    const { layer, ...plane } = make(options, logging)
    return Effect.gen(() => test({ ...plane, lines })).pipe(
      tenant === undefined ? (body) => body : withTenant(tenant),
      Effect.provide(layer),
      random === undefined ? (body) => body : withRandom(random)
    )
  })
}

type Test<Eff, A> = (plane: ScriptedPlane) => Generator<Eff, A, never>
type Ran<Eff extends Effect.Effect<any, any, any>, A> = ReturnType<typeof ran<Eff, A>>

/** Only for its type: what a test is once a plane is provided. */
const ran = <Eff extends Effect.Effect<any, any, any>, A>(test: () => Generator<Eff, A, never>) =>
  Effect.gen(test).pipe(Effect.provide(make().layer))

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

/** Activates a tenant, and waits until it is live. */
export const activate = (tenant = "acme") => TenantManager.use((manager) => manager.activate(tenant))

/** The status of a tenant that the plane knows. */
export const statusOf = (tenant = "acme") =>
  TenantManager.use((manager) => manager.status(tenant)).pipe(Effect.map(Option.getOrThrow))

/** Writes a new value of `Limit` as another process does: a row, and its notification. */
export const change = (tenant: ScriptedConnector.ScriptedTenant, value: number) =>
  Effect.suspend(() => {
    tenant.write(limitKey, value)
    tenant.notify(ScriptedConnector.upsert(keys.Limit.namespace, keys.Limit.key))
    return breathe
  })
