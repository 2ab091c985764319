import { Effect, Layer, Redacted, Schema } from "effect"
import { Config, ConfigKey, PgConnector, SystemplaneLive, withTenant } from "effect-systemplane"

const RequestsPerMinute = ConfigKey.make("rate-limits", "requests-per-minute", {
  schema: Schema.Int.check(Schema.isGreaterThan(0)),
  defaultValue: 600
})

const handler = Effect.gen(function* () {
  const limit = yield* Config.get(RequestsPerMinute) // from memory; changed by operators while the service runs
  return `at most ${limit} requests per minute`
})

// One database per tenant; `{tenant}` is its id.
const url = Redacted.make(process.env.DATABASE_URL_TEMPLATE ?? "postgres://app@localhost/tenant_{tenant}")
const Plane = SystemplaneLive({ keys: [RequestsPerMinute], tenants: ["acme"] }).pipe(
  Layer.provide(PgConnector.layerTemplate({ url }))
)

const program = handler.pipe(withTenant("acme"), Effect.flatMap(Effect.log), Effect.provide(Plane))
await Effect.runPromise(program)
