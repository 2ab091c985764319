/**
 * An HTTP API that shows a tenant its limits: `Config.get` in the handlers of an `HttpApi`. The tenant of a request is set around
 * the handler; a configuration that cannot be read is a response of its own.
 */
import { Effect, Schema } from "effect"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { Config, ConfigKey, Entry, withTenant } from "effect-systemplane"

export const RequestsPerMinute = ConfigKey.make("rate-limits", "requests-per-minute", {
  schema: Schema.Int.check(Schema.isGreaterThan(0)),
  defaultValue: 600
})

/** What a stranger is told of a read that failed: that it failed. The log has the rest. */
export class LimitsUnavailable extends Schema.TaggedError<LimitsUnavailable>()(
  "LimitsUnavailable",
  {},
  { httpApiStatus: 503 }
) {}

const params = { tenant: Schema.String }

export class LimitsApi extends HttpApi.make("limits-api").add(
  HttpApiGroup.make("limits")
    .add(
      HttpApiEndpoint.get("current", "/tenants/:tenant/limit", {
        params,
        success: Schema.Struct({ requestsPerMinute: Schema.Int }),
        error: LimitsUnavailable
      })
    )
    .add(
      HttpApiEndpoint.get("entry", "/tenants/:tenant/limit/entry", {
        params,
        success: Entry.schema(RequestsPerMinute),
        error: LimitsUnavailable
      })
    )
) {}

const orUnavailable = <A, E, R>(read: Effect.Effect<A, E, R>) =>
  Effect.catch(read, (error) => Effect.andThen(Effect.logError(error), Effect.fail(new LimitsUnavailable())))

export const LimitsLive = HttpApiBuilder.group(LimitsApi, "limits", (handlers) =>
  handlers
    .handle("current", ({ params }) =>
      Config.get(RequestsPerMinute).pipe(
        Effect.map((requestsPerMinute) => ({ requestsPerMinute })),
        withTenant(params.tenant),
        orUnavailable
      )
    )
    .handle("entry", ({ params }) => Config.entry(RequestsPerMinute).pipe(withTenant(params.tenant), orUnavailable))
)
