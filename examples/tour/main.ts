/**
 * `npm start`: the plane on two databases, behind a pretend service, until Ctrl-C.
 * `npm start -- --once`: the tour plays itself, and fails if a step does.
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

// The plane is provided last, hence built first: a Node server that listens before its routes are there
// accepts a request and never answers it.
const serve = (template: Redacted.Redacted) =>
  Layer.effectDiscard(Effect.andThen(printChanges, printInvitation(template))).pipe(
    Layer.provide(HttpRouter.serve(Layer.merge(Shop, Operations), { disableLogger: true, disableListenLog: true })),
    Layer.provide(NodeHttpServer.layer(createServer, { port: Number(process.env.PORT ?? 0), host: "127.0.0.1" })),
    Layer.provide(planeOn(template, Databases.tenants))
  )

const printInvitation = (template: Redacted.Redacted) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) => {
    const base = "port" in address ? `http://127.0.0.1:${address.port}` : "http://localhost"
    const [acme, globex] = [Databases.printable(template, "acme"), Databases.printable(template, "globex")]
    const update = "SELECT systemplane_set('shop', 'discount-percent', '25', 'to try it')"
    const remove = "DELETE FROM systemplane_entries WHERE key = 'discount-percent'"
    const history = "SELECT changed_at, changed_by, key, previous_value, value FROM systemplane_recent_changes"
    const undo = "SELECT systemplane_revert(change_id, 'a mistake') FROM systemplane_recent_changes LIMIT 1"
    return Effect.sync(() =>
      console.log(`
The shop is open. Each command needs nothing but this checkout; below it, in brackets, the same with curl or psql.

Ask it for a price:

  npm run -s try -- ${base}/acme/price
  npm run -s try -- ${base}/globex/price
  [ curl ${base}/acme/price ]

Change its configuration while it runs, by SQL or by HTTP, and ask again:

  npm run -s try -- '${acme}' "${update}"
  npm run -s try -- '${globex}' "${remove}"
  npm run -s try -- ${base}/globex/discount 40
  [ psql '${acme}' -c "${update}" ]
  [ curl -X PUT ${base}/globex/discount -H 'content-type: application/json' -d 40 ]

See what is stored and who changed it, and take the newest change back:

  npm run -s try -- '${acme}'
  npm run -s try -- '${acme}' "${history}"
  npm run -s try -- '${acme}' "${undo}"
  [ psql '${acme}' -c "${history}" ]

Ask what an operator's tools would ask:

  npm run -s try -- ${base}/healthz
  npm run -s try -- ${base}/readyz
  npm run -s try -- ${base}/metrics

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
