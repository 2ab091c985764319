/** Keys that a service and an admin page in the browser share: this entry needs no driver and no module of Node. */
import { Schema } from "effect"
import { ConfigKey } from "effect-systemplane/keys"

export const RequestsPerMinute = ConfigKey.make("rate-limits", "requests-per-minute", {
  schema: Schema.Int.check(Schema.isGreaterThan(0)),
  defaultValue: 600,
  description: "Requests a tenant may send per minute"
})
