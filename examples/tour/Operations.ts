/** The addresses for an operator's tools: whether the process is there, whether it can serve, and its metrics. */
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import { TenantManager } from "effect-systemplane"

// Restarting a process mends no database: as long as it answers, it is healthy.
const healthz = Effect.succeed(HttpServerResponse.text("ok\n"))

const readyz = Effect.gen(function* () {
  const health = yield* TenantManager.use((manager) => manager.health)
  return yield* HttpServerResponse.json(health, { status: health.status === "down" ? 503 : 200 })
})

export const Operations = Layer.mergeAll(
  HttpRouter.add("GET", "/healthz", healthz),
  HttpRouter.add("GET", "/readyz", readyz),
  PrometheusMetrics.layerHttp({ path: "/metrics" })
)
