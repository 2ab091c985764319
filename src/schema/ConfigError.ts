/**
 * Why a read, a write or a subscription failed.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"
import type { Entry } from "./Entry.ts"
import { show } from "./KeyName.ts"
import { TenantId } from "./TenantId.ts"

const keyFields = { namespace: Schema.String, key: Schema.String }

/** Nobody declared this key. */
export class UnknownKey extends Schema.TaggedError<UnknownKey>()("UnknownKey", keyFields) {
  override get message() {
    return `No key ${show(this)} is declared; add it to the keys of SystemplaneLive`
  }
}

/** No tenant was given where there is more than one. */
export class TenantMissing extends Schema.TaggedError<TenantMissing>()("TenantMissing", {}) {
  override get message() {
    return `No tenant is set; run the effect inside withTenant("…")`
  }
}

/** The id cannot be that of a tenant. */
export class InvalidTenantId extends Schema.TaggedError<InvalidTenantId>()("InvalidTenantId", {
  /** What was given, cut to 64 characters. */
  given: Schema.String
}) {
  static from(given: unknown) {
    return new InvalidTenantId({ given: String(given).slice(0, 64) })
  }
  override get message() {
    return `${JSON.stringify(this.given)} is not a tenant id: 1 to 256 letters, digits, _ or -, starting with a letter or a digit`
  }
}

/** The connector says that there is no such tenant. */
class UnknownTenant extends Schema.TaggedError<UnknownTenant>()("UnknownTenant", { tenant: TenantId }) {
  override get message() {
    return `There is no tenant ${this.tenant}; add it to the connector's record, or check the id`
  }
}

/** Values that may not be written: they do not fit their keys' schemas, or `jsonb` cannot hold them. Nothing was written. */
export class InvalidValue extends Schema.TaggedError<InvalidValue>()("InvalidValue", {
  /** Each key with where and what was expected; never the value. */
  problems: Schema.Array(Schema.Struct({ ...keyFields, problem: Schema.String }))
}) {
  override get message() {
    return this.problems.map((value) => `The value for ${show(value)} is refused: ${value.problem}`).join("; ")
  }
}

/** The entry is at another revision than the write expected. Nothing was written: read it again, then decide. */
export class RevisionConflict extends Schema.TaggedError<RevisionConflict>()("RevisionConflict", {
  tenant: TenantId,
  ...keyFields,
  /** 0: no row was expected. */
  expected: Schema.Int,
  /** 0: there is no row. */
  actual: Schema.Int
}) {
  override get message() {
    return `${show(this)} of tenant ${this.tenant} is at revision ${this.actual}, not ${this.expected}; read it again, then decide`
  }
}

/** The tenant's database does not answer. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", {
  tenant: TenantId,
  /** Why, in words that name no other tenant and hold no secret. */
  problem: Schema.String,
  /**
   * What was last known of the key, where anything was and the key is no secret: for callers who would rather go on. The
   * error's JSON, and what a log shows of it, has it without the value.
   */
  lastKnown: Schema.optionalKey(
    Schema.declare((u: unknown): u is Entry<unknown> => typeof u === "object" && u !== null && "revision" in u)
  ),
  /** The database was not even asked, having left others without an answer: reads before then fail at once too. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}) {
  /** For `JSON.stringify`, and for Node's `inspect`. */
  override toJSON(): object {
    const { lastKnown, ...fields } = this
    if (lastKnown === undefined) return fields
    const { value: _, ...entry } = lastKnown
    return { ...fields, lastKnown: entry }
  }
  override get message() {
    return `The configuration of tenant ${this.tenant} cannot be read or written now: ${this.problem}`
  }
}

/** The connection was lost while the answer to a write was awaited, and the database does not show that it landed. */
export class WriteOutcomeUnknown extends Schema.TaggedError<WriteOutcomeUnknown>()("WriteOutcomeUnknown", {
  tenant: TenantId,
  keys: Schema.Array(Schema.Struct(keyFields))
}) {
  override get message() {
    const names = this.keys.map(show).join(", ")
    return `The write of ${names} for tenant ${this.tenant} may or may not have landed; read it again, then decide`
  }
}

/** The plane was drained. */
export class Closed extends Schema.TaggedError<Closed>()("Closed", {}) {
  override get message() {
    return "The plane was drained: it activates and follows no tenant any more"
  }
}

/** This cannot be done here. */
export class NotSupported extends Schema.TaggedError<NotSupported>()("NotSupported", { problem: Schema.String }) {
  override get message() {
    return this.problem
  }
}

/** @category errors */
export const ConfigErrorReason = Schema.Union([
  UnknownKey,
  TenantMissing,
  InvalidTenantId,
  UnknownTenant,
  InvalidValue,
  RevisionConflict,
  Unavailable,
  WriteOutcomeUnknown,
  NotSupported,
  Closed
])

/** @category errors */
export type ConfigErrorReason = typeof ConfigErrorReason.Type

/**
 * What `Config` fails with. Match on a reason with `Effect.catchReason("ConfigError", "UnknownKey", …)`.
 *
 * **Example** (Going on with what was last known)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Config } from "effect-systemplane"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * export const limit = Config.entry(RequestsPerMinute).pipe(
 *   Effect.catchReason("ConfigError", "Unavailable", (unavailable, error) =>
 *     unavailable.lastKnown === undefined ? Effect.fail(error) : Effect.succeed(unavailable.lastKnown)
 *   )
 * )
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class ConfigError extends Schema.TaggedError<ConfigError>()("ConfigError", { reason: ConfigErrorReason }) {
  /** Under its error, since `ConnectorError` has a reason of the same name. */
  static readonly UnknownTenant = UnknownTenant
  override get message() {
    return this.reason.message
  }
}
