/** The keys of the shop: what its operators may change. */
import { Schema } from "effect"
import { ConfigKey } from "effect-systemplane"

export const Discount = ConfigKey.make("shop", "discount-percent", {
  schema: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 90 })),
  defaultValue: 0,
  description: "Taken off every price"
})

export const Banner = ConfigKey.make("shop", "banner", {
  schema: Schema.Struct({ text: Schema.String, color: Schema.Literals(["red", "green", "blue"]) }),
  defaultValue: { text: "Welcome", color: "blue" },
  description: "Shown on top of every page"
})
