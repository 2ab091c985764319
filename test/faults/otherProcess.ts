/** Another process on the same tenants. It says `live`, then does what it is told: write, or report what it sees. */
import { Effect, Layer, Redacted, References, Schema } from "effect"
import { Config, ConfigKey, PgConnector, SystemplaneLive, withTenant } from "../../src/index.ts"

/** What it is told. */
export type Order = { readonly write: { readonly from: number; readonly to: number } } | { readonly report: true }

/** What it says. */
export type Word =
  | { readonly said: "live" | "written" }
  | { readonly said: "sees"; readonly entries: Readonly<Record<string, Seen>> }

/** A tenant's values and revisions. */
export type Seen = readonly [limit: number, limitRevision: number, burst: number, burstRevision: number]

// By name the same keys as those of the tests, which import the package by its own name.
const Limit = ConfigKey.make("rate-limits", "requests-per-minute", { schema: Schema.Int, defaultValue: 600 })
const Burst = ConfigKey.make("rate-limits", "burst", { schema: Schema.Int, defaultValue: 20 })

const urls: Readonly<Record<string, string>> = JSON.parse(process.argv[2] ?? "{}")
const tenants = Object.keys(urls)

const say = (word: Word) => Effect.sync(() => process.send?.(word))

const write = ({ from, to }: { readonly from: number; readonly to: number }) =>
  Effect.gen(function* () {
    for (let value = from; value <= to; value++) {
      yield* Config.set(Limit, value, { actor: "the other process" })
      yield* Config.set(Burst, value, { actor: "the other process" })
    }
  })

const see = Effect.gen(function* () {
  const [limit, burst] = yield* Effect.all([Config.entry(Limit), Config.entry(Burst)])
  const seen: Seen = [limit.value, limit.revision, burst.value, burst.revision]
  return seen
})

const inEveryTenant = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.forEach(tenants, (tenant) => Effect.map(withTenant(tenant)(effect), (result) => [tenant, result] as const), {
    concurrency: "unbounded"
  })

const obey = (order: Order) =>
  "write" in order
    ? Effect.andThen(inEveryTenant(write(order.write)), say({ said: "written" }))
    : Effect.flatMap(inEveryTenant(see), (entries) => say({ said: "sees", entries: Object.fromEntries(entries) }))

const nextOrder = Effect.callback<Order>((resume) => {
  process.once("message", (order) => resume(Effect.succeed(order as Order)))
})

const Plane = SystemplaneLive({
  keys: [Limit, Burst],
  tenants,
  reconnect: { base: "20 millis", cap: "200 millis" }
}).pipe(
  Layer.provide(
    PgConnector.layerRecord(
      Object.fromEntries(Object.entries(urls).map(([tenant, url]) => [tenant, { url: Redacted.make(url) }]))
    )
  ),
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
)

process.once("disconnect", () => process.exit())

await say({ said: "live" }).pipe(
  Effect.andThen(Effect.forever(Effect.flatMap(nextOrder, obey))),
  Effect.provide(Plane),
  Effect.runPromise
)
