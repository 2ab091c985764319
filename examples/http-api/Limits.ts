/**
 * An HTTP API that shows a tenant its limits: `Config.get` in the handlers of an `HttpApi`. The tenant of a request is
 * set around the handler; a configuration that cannot be read or written is a response of its own, with the status that
 * says why.
 */
import { Effect, Schema } from "effect"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { Config, type ConfigError, ConfigKey, Entry, PublicConfigError, withTenant } from "effect-systemplane"

export const RequestsPerMinute = ConfigKey.make("rate-limits", "requests-per-minute", {
  schema: Schema.Int.check(Schema.isGreaterThan(0)),
  defaultValue: 600
})

const params = { tenant: Schema.String }

export class LimitsApi extends HttpApi.make("limits-api").add(
  HttpApiGroup.make("limits")
    .add(
      HttpApiEndpoint.get("current", "/tenants/:tenant/limit", {
        params,
        success: Schema.Struct({ requestsPerMinute: Schema.Int }),
        error: PublicConfigError.errors
      })
    )
    .add(
      HttpApiEndpoint.get("entry", "/tenants/:tenant/limit/entry", {
        params,
        success: Entry.schema(RequestsPerMinute),
        error: PublicConfigError.errors
      })
    )
    .add(
      HttpApiEndpoint.put("change", "/tenants/:tenant/limit", {
        params,
        payload: Schema.Struct({ requestsPerMinute: Schema.Int, ifRevision: Schema.Int, actor: Schema.String }),
        success: Entry.schema(RequestsPerMinute),
        error: PublicConfigError.errors
      })
    )
) {}

/**
 * Runs an effect of a request for its tenant. The log has what went wrong; a stranger is told only what to do about it.
 */
const of =
  (tenant: string) =>
  <A, R>(effect: Effect.Effect<A, ConfigError, R>) =>
    effect.pipe(withTenant(tenant), Effect.tapError(Effect.logError), Effect.mapError(PublicConfigError.of))

export const LimitsLive = HttpApiBuilder.group(LimitsApi, "limits", (handlers) =>
  handlers
    .handle("current", ({ params }) =>
      Config.get(RequestsPerMinute).pipe(
        Effect.map((requestsPerMinute) => ({ requestsPerMinute })),
        of(params.tenant)
      )
    )
    .handle("entry", ({ params }) => Config.entry(RequestsPerMinute).pipe(of(params.tenant)))
    .handle("change", ({ params, payload: { actor, ifRevision, requestsPerMinute } }) =>
      Config.set(RequestsPerMinute, requestsPerMinute, { actor, ifRevision }).pipe(of(params.tenant))
    )
)
