/** The keys that tests declare. */
import { Schema } from "effect"
import { ConfigKey } from "effect-systemplane"

export const Limit = ConfigKey.make("rate-limits", "requests-per-minute", {
  schema: Schema.Int.check(Schema.isGreaterThan(0)),
  defaultValue: 600,
  description: "Requests a tenant may send per minute"
})

export const Burst = ConfigKey.make("rate-limits", "burst", { schema: Schema.Int, defaultValue: 20 })

export const Greeting = ConfigKey.make("texts", "greeting", { schema: Schema.String, defaultValue: "hello" })

export const Feature = ConfigKey.make("features", "checkout", {
  schema: Schema.Struct({ enabled: Schema.Boolean, percent: Schema.Int, note: Schema.optionalKey(Schema.String) }),
  defaultValue: { enabled: false, percent: 0 }
})

export const ApiKey = ConfigKey.make("secrets", "api-key", {
  schema: Schema.String.check(Schema.isMinLength(4)),
  defaultValue: "none",
  secret: true
})

export const all = [Limit, Burst, Greeting, Feature, ApiKey]
