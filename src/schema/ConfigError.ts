/**
 * Why a read, a write or a subscription failed.
 *
 * One class for each reason, each with a message that tells what to do. `ConfigError` wraps the reason, so that a
 * caller handles one error or matches on the reason.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import type { Entry } from "./Entry.ts"
import { show } from "./KeyName.ts"
import { TenantId } from "./TenantId.ts"

const keyFields = { namespace: Schema.String, key: Schema.String }

/** No key of this name is declared. */
export class UnknownKey extends Schema.TaggedError<UnknownKey>()("UnknownKey", keyFields) {
  override get message() {
    return `No key ${show(this)} is declared; add it to the keys of SystemplaneLive`
  }
}

/** The plane serves several tenants, and the effect runs for none of them. */
export class TenantMissing extends Schema.TaggedError<TenantMissing>()("TenantMissing", {}) {
  override get message() {
    return `No tenant is set; run the effect inside withTenant("…")`
  }
}

/** Anything as text. What a proxy or a `toString` of its own throws is no reason to fail with. */
const shown = (given: unknown): string => {
  try {
    return String(given).replaceAll(/\p{Cs}/gu, "\ufffd")
  } catch {
    return typeof given
  }
}

/** The id cannot be that of a tenant. */
export class InvalidTenantId extends Schema.TaggedError<InvalidTenantId>()("InvalidTenantId", {
  /** What was given, cut to 64 characters. */
  given: Schema.String
}) {
  static from(given: unknown) {
    return new InvalidTenantId({ given: shown(given).slice(0, 64) })
  }
  override get message() {
    return `${JSON.stringify(this.given)} is not a tenant id: 1 to 256 letters, digits, _ or -, starting with a letter or a digit`
  }
}

/**
 * Values that may not be written: they do not fit their keys' schemas, or `jsonb` cannot hold them. Nothing was
 * written.
 */
export class InvalidValue extends Schema.TaggedError<InvalidValue>()("InvalidValue", {
  /** Each key with where and what was expected; never the value. */
  problems: Schema.Array(Schema.Struct({ ...keyFields, problem: Schema.String }))
}) {
  override get message() {
    return this.problems.map((value) => `The value for ${show(value)} is refused: ${value.problem}`).join("; ")
  }
}

/** The connector says that there is no such tenant. */
export class UnknownTenant extends Schema.TaggedError<UnknownTenant>()("UnknownTenant", { tenant: TenantId }) {
  override get message() {
    return `There is no tenant ${this.tenant}; add it to the connector's record, or check the id`
  }
}

/**
 * The actor of a write is refused: it is empty, longer than 256 characters, has a control character, begins as the mark
 * of a seed does (`systemplane.manager:`), or is text that PostgreSQL cannot hold. Nothing was written.
 */
export class InvalidActor extends Schema.TaggedError<InvalidActor>()("InvalidActor", { problem: Schema.String }) {
  override get message() {
    return `The actor of a write is refused: ${this.problem}; name the person or the service that writes`
  }
}

/**
 * The reason or the change id of a write is refused: a reason longer than 4,000 characters or with a control character,
 * an id that is not a UUID, options that cannot be read. Nothing was written.
 */
export class InvalidChange extends Schema.TaggedError<InvalidChange>()("InvalidChange", { problem: Schema.String }) {
  override get message() {
    return `The change is refused: ${this.problem}`
  }
}

/**
 * The change id took effect before, for other keys or with other values. Nothing was written: give each change an id of
 * its own.
 */
export class ChangeIdReused extends Schema.TaggedError<ChangeIdReused>()("ChangeIdReused", {
  tenant: TenantId,
  changeId: Schema.String
}) {
  override get message() {
    return `The change ${this.changeId} of tenant ${this.tenant} took effect before, with another content; give each change an id of its own`
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

/** An entry that is not sent over a wire, since it holds a value. */
const inProcess = Schema.optionalKey(Schema.Never).pipe(
  Schema.decodeTo(
    Schema.optionalKey(
      Schema.declare((u: unknown): u is Entry<unknown> => typeof u === "object" && u !== null && "revision" in u)
    ),
    { decode: SchemaGetter.passthrough<never>(), encode: SchemaGetter.omit<Entry<unknown>>() }
  )
)

/** The tenant's database cannot be used now: it does not answer, or refuses. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", {
  tenant: TenantId,
  /** Why, in words that name no other tenant and hold no secret. */
  problem: Schema.String,
  /** `host:port/database`; absent if it is not known. */
  address: Schema.optionalKey(Schema.String),
  /**
   * What was last known of the key, unless nothing was or the key is a secret: for callers in this process that can go
   * on with it. The error's codec leaves it out, and a log shows it without the value.
   */
  lastKnown: inProcess,
  /** Reads are paused because others were not answered: until then they fail at once. */
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
    const at = this.address === undefined ? "" : ` at ${this.address}`
    return `The configuration of tenant ${this.tenant}${at} cannot be read or written now: ${this.problem}`
  }
}

/** How many keys a message names. */
const mostNamed = 10

/**
 * The database answered no copy of a write within its budget. Write again with the same `changeId` to learn what became
 * of it: on a database with a history a change takes effect once.
 */
export class WriteOutcomeUnknown extends Schema.TaggedError<WriteOutcomeUnknown>()("WriteOutcomeUnknown", {
  tenant: TenantId,
  /** The id of the change. */
  changeId: Schema.String,
  keys: Schema.Array(Schema.Struct(keyFields))
}) {
  override get message() {
    const more = this.keys.length - mostNamed
    const names = this.keys.slice(0, mostNamed).map(show).join(", ") + (more > 0 ? ` and ${more} more keys` : "")
    return `The write of ${names} for tenant ${this.tenant} may or may not have landed; write it again as change ${this.changeId}, which takes effect once, or read it and decide`
  }
}

/** The plane was drained, or its layer is closed. */
export class Closed extends Schema.TaggedError<Closed>()("Closed", {}) {
  override get message() {
    return "The plane is closed; build a new layer"
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
  InvalidActor,
  InvalidChange,
  InvalidValue,
  ChangeIdReused,
  RevisionConflict,
  Unavailable,
  WriteOutcomeUnknown,
  NotSupported,
  Closed
])

/** @category errors */
export type ConfigErrorReason = typeof ConfigErrorReason.Type

/**
 * What `Config` fails with. Match on a reason with `Effect.catchReason("ConfigError", "UnknownKey", …)`. The classes of
 * the reasons are its members: `ConfigError.Unavailable`.
 *
 * **Details**
 *
 * The class is a codec, as those of all errors are: its encoded side is JSON, without the last known entry. It names
 * tenants, addresses and codes of servers, hence it is for operators; a stranger is told `PublicConfigError.of(error)`.
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
  static readonly UnknownKey = UnknownKey
  static readonly TenantMissing = TenantMissing
  static readonly InvalidTenantId = InvalidTenantId
  static readonly UnknownTenant = UnknownTenant
  static readonly InvalidActor = InvalidActor
  static readonly InvalidChange = InvalidChange
  static readonly ChangeIdReused = ChangeIdReused
  static readonly InvalidValue = InvalidValue
  static readonly RevisionConflict = RevisionConflict
  static readonly Unavailable = Unavailable
  static readonly WriteOutcomeUnknown = WriteOutcomeUnknown
  static readonly NotSupported = NotSupported
  static readonly Closed = Closed

  /** The error for this reason, which names the tenant itself if there is one. */
  static of(reason: ConfigErrorReason): ConfigError {
    return new ConfigError({ reason })
  }
  override get message() {
    return this.reason.message
  }
}

/** The types of the reasons. */
export declare namespace ConfigError {
  type UnknownKey = InstanceType<typeof ConfigError.UnknownKey>
  type TenantMissing = InstanceType<typeof ConfigError.TenantMissing>
  type InvalidTenantId = InstanceType<typeof ConfigError.InvalidTenantId>
  type UnknownTenant = InstanceType<typeof ConfigError.UnknownTenant>
  type InvalidActor = InstanceType<typeof ConfigError.InvalidActor>
  type InvalidChange = InstanceType<typeof ConfigError.InvalidChange>
  type ChangeIdReused = InstanceType<typeof ConfigError.ChangeIdReused>
  type InvalidValue = InstanceType<typeof ConfigError.InvalidValue>
  type RevisionConflict = InstanceType<typeof ConfigError.RevisionConflict>
  type Unavailable = InstanceType<typeof ConfigError.Unavailable>
  type WriteOutcomeUnknown = InstanceType<typeof ConfigError.WriteOutcomeUnknown>
  type NotSupported = InstanceType<typeof ConfigError.NotSupported>
  type Closed = InstanceType<typeof ConfigError.Closed>
}
