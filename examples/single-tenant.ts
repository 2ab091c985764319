/** One application, one database, no tenants: no read and no write names one. */
import { Effect, Layer, Redacted, Schema } from "effect"
import { Config, ConfigKey, PgConnector, SystemplaneLive } from "effect-systemplane"

const Maintenance = ConfigKey.make("site", "maintenance", {
  schema: Schema.Boolean,
  defaultValue: false,
  description: "Whether visitors see the maintenance page"
})

const Plane = SystemplaneLive({ keys: [Maintenance] }).pipe(
  Layer.provide(
    PgConnector.layerSingle({ url: Redacted.make(process.env.DATABASE_URL ?? "postgres://app@localhost/app") })
  )
)

export const main = Effect.gen(function* () {
  yield* Config.onChange(Maintenance, ({ value }) => Effect.log(value ? "closed for maintenance" : "open again"))
  yield* Config.set(Maintenance, true, { actor: "ada" })
  return yield* Config.get(Maintenance)
}).pipe(Effect.scoped, Effect.provide(Plane))

if (import.meta.main) await Effect.runPromise(main)
