/**
 * A service with `effect/http-api`. Its tenant comes from a bearer token; its limit changes while it runs; operators
 * have `/healthz`, `/readyz` and `/metrics`; Ctrl-C drains it.
 *
 * ```
 *   DATABASE_URL_TEMPLATE=postgres://app@localhost/tenant_{tenant} node examples/http-service.ts
 *   curl -H 'authorization: Bearer token-of-acme' -H 'content-type: application/json' -d '{"jobs": 7}' localhost:3000/jobs
 * ```
 */
import { createServer } from "node:http"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiError,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSecurity
} from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import {
  Config,
  ConfigKey,
  PgConnector,
  SystemplaneLive,
  TenantId,
  TenantManager,
  withTenant
} from "effect-systemplane"

const MaxBatch = ConfigKey.make("limits", "max-batch", {
  schema: Schema.Int.check(Schema.isGreaterThan(0)),
  defaultValue: 100,
  description: "Jobs that a tenant may start with one request"
})

class TooMany extends Schema.TaggedError<TooMany>()("TooMany", { limit: Schema.Int }, { httpApiStatus: 422 }) {}
class Caller extends Context.Service<Caller, TenantId>()("example/Caller") {}

class Authorization extends HttpApiMiddleware.Service<Authorization, { provides: Caller; requires: never }>()(
  "example/Authorization",
  { security: { bearer: HttpApiSecurity.bearer }, error: HttpApiError.Unauthorized }
) {}

const Api = HttpApi.make("example").add(
  HttpApiGroup.make("work")
    .add(
      HttpApiEndpoint.post("start", "/jobs", {
        payload: Schema.Struct({ jobs: Schema.Int }),
        success: Schema.Struct({ tenant: TenantId, started: Schema.Int }),
        error: [TooMany, HttpApiError.ServiceUnavailable]
      })
    )
    .middleware(Authorization)
)

// A real service verifies a signature here; the token of this example is the tenant's name.
const tenantOf = (token: string) => Schema.decodeUnknownEffect(TenantId)(token.replace(/^token-of-/, ""))

const AuthorizationLive = Layer.succeed(Authorization, {
  bearer: (request, { credential }) =>
    tenantOf(Redacted.value(credential)).pipe(
      Effect.mapError(() => new HttpApiError.Unauthorized()),
      Effect.flatMap((tenant) => Effect.provideService(request, Caller, tenant))
    )
})

const WorkLive = HttpApiBuilder.group(Api, "work", (handlers) =>
  handlers.handle("start", ({ payload: { jobs } }) =>
    Effect.gen(function* () {
      const tenant = yield* Caller
      const limit = yield* Config.get(MaxBatch).pipe(
        withTenant(tenant),
        Effect.mapError(() => new HttpApiError.ServiceUnavailable())
      )
      if (jobs > limit) return yield* new TooMany({ limit })
      return { tenant, started: jobs }
    })
  )
)

const ready = Effect.gen(function* () {
  const health = yield* TenantManager.use((manager) => manager.health)
  return yield* HttpServerResponse.json(health, { status: health.status === "down" ? 503 : 200 })
})

const Operations = Layer.mergeAll(
  // Restarting a process mends no database: as long as it answers, it is healthy.
  HttpRouter.add("GET", "/healthz", Effect.succeed(HttpServerResponse.text("ok"))),
  HttpRouter.add("GET", "/readyz", ready),
  PrometheusMetrics.layerHttp({ path: "/metrics" })
)

const Routes = Layer.mergeAll(
  HttpApiBuilder.layer(Api).pipe(Layer.provide(WorkLive), Layer.provide(AuthorizationLive)),
  Operations
)

/** The plane is provided last, hence built first: the server accepts no request before its tenants are known. */
export const Service = HttpRouter.serve(Routes, { disableLogger: true }).pipe(
  Layer.provideMerge(SystemplaneLive({ keys: [MaxBatch], tenants: ["acme"] }))
)

if (import.meta.main) {
  const url = Redacted.make(process.env.DATABASE_URL_TEMPLATE ?? "postgres://app@localhost/tenant_{tenant}")
  Service.pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 })),
    Layer.provide(PgConnector.layerTemplate({ url })),
    Layer.launch,
    NodeRuntime.runMain
  )
}
