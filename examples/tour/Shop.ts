/** A small shop whose answers depend on its tenant's configuration. */
import { Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Config, withTenant } from "effect-systemplane"
import { Banner, Discount } from "./keys.ts"

const listPrice = 200

const Tenant = Schema.Struct({ tenant: Schema.String })

const inTenant = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(HttpRouter.schemaPathParams(Tenant), ({ tenant }) => withTenant(tenant)(effect)).pipe(
    Effect.catch((error) =>
      HttpServerResponse.json({ error: error instanceof Error ? error.message : String(error) }, { status: 400 })
    )
  )

const price = Effect.gen(function* () {
  const discount = yield* Config.get(Discount)
  const banner = yield* Config.get(Banner)
  return yield* HttpServerResponse.json({ banner, price: (listPrice * (100 - discount)) / 100 })
})

const setDiscount = Effect.gen(function* () {
  const percent = yield* HttpServerRequest.schemaBodyJson(Schema.Number)
  const entry = yield* Config.set(Discount, percent, { actor: "http" })
  return yield* HttpServerResponse.json({ discount: entry.value, revision: entry.revision })
})

export const Shop = Layer.mergeAll(
  HttpRouter.add("GET", "/:tenant/price", inTenant(price)),
  HttpRouter.add("PUT", "/:tenant/discount", inTenant(setDiscount))
)
