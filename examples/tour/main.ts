/**
 * `npm start`: the plane on two databases, behind a pretend service, until Ctrl-C.
 * `npm start -- --once`: the tour plays itself, and fails where a step does.
 */

import { createServer } from "node:http"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, type Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { PgConnector, SystemplaneLive } from "effect-systemplane"
import * as Databases from "./Databases.ts"
import { Banner, Discount } from "./keys.ts"
import { Operations } from "./Operations.ts"
import { playOnce } from "./once.ts"
import { printChanges } from "./printChanges.ts"
import { Shop } from "./Shop.ts"

const planeOn = (template: Redacted.Redacted, tenants: ReadonlyArray<string>) =>
  SystemplaneLive({ keys: [Discount, Banner], tenants }).pipe(
    Layer.provide(PgConnector.layerTemplate({ url: template }))
  )

// The plane is provided last, hence built first: a Node server that listens before its routes are there accepts a request and
// never answers it.
const serve = (template: Redacted.Redacted) =>
  Layer.effectDiscard(Effect.andThen(printChanges, printInvitation(template))).pipe(
    Layer.provide(HttpRouter.serve(Layer.merge(Shop, Operations), { disableLogger: true, disableListenLog: true })),
    Layer.provide(NodeHttpServer.layer(createServer, { port: Number(process.env.PORT ?? 0), host: "127.0.0.1" })),
    Layer.provide(planeOn(template, Databases.tenants))
  )

const printInvitation = (template: Redacted.Redacted) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) => {
    const base = "port" in address ? `http://127.0.0.1:${address.port}` : "http://localhost"
    return Effect.sync(() =>
      console.log(`
The shop is open. Ask it for a price:

  curl ${base}/acme/price
  curl ${base}/globex/price

Change its configuration while it runs, by SQL or by HTTP:

  psql '${Databases.printable(template, "acme")}' -c "UPDATE systemplane_entries SET value = '25' WHERE key = 'discount-percent'"
  psql '${Databases.printable(template, "globex")}' -c "DELETE FROM systemplane_entries WHERE key = 'discount-percent'"
  curl -X PUT ${base}/globex/discount -H 'content-type: application/json' -d 40

Ask what an operator's tools would ask:

  curl ${base}/healthz
  curl ${base}/readyz
  curl ${base}/metrics

Ctrl-C drains the plane and removes everything.
`)
    )
  })

const main = Effect.gen(function* () {
  const template = yield* Databases.urlTemplate
  if (process.argv.includes("--once")) yield* playOnce(template).pipe(Effect.provide(planeOn(template, [])))
  else yield* Layer.launch(serve(template))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
