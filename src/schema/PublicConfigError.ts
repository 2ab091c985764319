/**
 * What a stranger may learn of a read or a write that failed: a customer behind an HTTP API, a browser.
 *
 * A `ConfigError` is for operators: it names the tenant, the address of its database and the code of the server. These
 * errors hold nothing of that, and no value; the log has the rest. They are codecs, and carry the status with which an
 * `HttpApi` answers.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { ConfigError } from "./ConfigError.ts"

/** 404: there is no such tenant, or no such key. An id that is none, and one that no tenant has, look alike. */
class NotFound extends Schema.TaggedError<NotFound>()("ConfigNotFound", {}, { httpApiStatus: 404 }) {
  override get message() {
    return "There is no such tenant or setting"
  }
}

/** 422: what was to be written is refused. Nothing was written. */
class Invalid extends Schema.TaggedError<Invalid>()(
  "ConfigInvalid",
  {
    /** The keys whose values are refused; none if it was not for a value. */
    keys: Schema.Array(Schema.Struct({ namespace: Schema.String, key: Schema.String }))
  },
  { httpApiStatus: 422 }
) {
  override get message() {
    return "The change is refused; correct it and send it again"
  }
}

/** 409: another writer was first, or the change id was used for another change. Nothing was written. */
class Conflict extends Schema.TaggedError<Conflict>()("ConfigConflict", {}, { httpApiStatus: 409 }) {
  override get message() {
    return "The setting has changed meanwhile; read it again, then decide"
  }
}

/** 503: it cannot be read or written now. */
class Unavailable extends Schema.TaggedError<Unavailable>()(
  "ConfigUnavailable",
  {
    /** When it may be worth another attempt; absent if that is not known. In milliseconds on the wire. */
    retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
  },
  { httpApiStatus: 503 }
) {
  override get message() {
    return "The configuration cannot be read or written now; try again later"
  }
}

/** 504: whether the write landed is not known. The same write under the same change id tells. */
class OutcomeUnknown extends Schema.TaggedError<OutcomeUnknown>()(
  "ConfigOutcomeUnknown",
  { changeId: Schema.String },
  { httpApiStatus: 504 }
) {
  override get message() {
    return "The change may or may not have been made; send it again with the same change id"
  }
}

/** 500: the application uses the plane in a way that cannot work. */
class Fault extends Schema.TaggedError<Fault>()("ConfigFault", {}, { httpApiStatus: 500 }) {
  override get message() {
    return "The configuration cannot be used here"
  }
}

/**
 * What a stranger may learn of a `ConfigError`: the classes, and the one that an error becomes.
 *
 * **Example** (An endpoint whose failures a stranger may see)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { HttpApiEndpoint } from "effect/http-api"
 * import { Config, PublicConfigError, withTenant } from "effect-systemplane"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * export const current = HttpApiEndpoint.get("current", "/tenants/:tenant/limit", {
 *   params: { tenant: Schema.String },
 *   success: Schema.Int,
 *   error: PublicConfigError.errors
 * })
 *
 * export const handler = (tenant: string) =>
 *   Config.get(RequestsPerMinute).pipe(
 *     withTenant(tenant),
 *     Effect.tapError(Effect.logError),
 *     Effect.mapError(PublicConfigError.of)
 *   )
 * ```
 *
 * @category errors
 * @see `ConfigError`, for operators; it is a codec too.
 * @since 0.1.0
 */
export const PublicConfigError = {
  NotFound,
  Invalid,
  Conflict,
  Unavailable,
  OutcomeUnknown,
  Fault,
  /** All of them, for the `error` of an endpoint. */
  errors: [NotFound, Invalid, Conflict, Unavailable, OutcomeUnknown, Fault] as const,
  /** What a stranger may learn of this error. */
  of: ({ reason }: ConfigError): PublicConfigError => {
    switch (reason._tag) {
      case "UnknownKey":
      case "InvalidTenantId":
      case "UnknownTenant":
        return new NotFound()
      case "InvalidValue":
        return new Invalid({ keys: reason.problems.map(({ key, namespace }) => ({ namespace, key })) })
      case "InvalidActor":
      case "InvalidChange":
        return new Invalid({ keys: [] })
      case "RevisionConflict":
      case "ChangeIdReused":
        return new Conflict()
      case "Unavailable":
        return new Unavailable(reason.retryAfter === undefined ? {} : { retryAfter: reason.retryAfter })
      case "Closed":
        return new Unavailable({})
      case "WriteOutcomeUnknown":
        return new OutcomeUnknown({ changeId: reason.changeId })
      case "TenantMissing":
      case "NotSupported":
        return new Fault()
    }
  }
}

/** @category errors */
export type PublicConfigError = NotFound | Invalid | Conflict | Unavailable | OutcomeUnknown | Fault
