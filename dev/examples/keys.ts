/** The keys that examples of the documentation import. */
import { Schema } from "effect"
import { ConfigKey } from "effect-systemplane"

export const RequestsPerMinute = ConfigKey.make("rate-limits", "requests-per-minute", {
  schema: Schema.Int.check(Schema.isGreaterThan(0)),
  defaultValue: 600
})

export const Burst = ConfigKey.make("rate-limits", "burst", { schema: Schema.Int, defaultValue: 20 })
