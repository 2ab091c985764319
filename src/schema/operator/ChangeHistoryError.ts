/**
 * Why the history could not be read, or a change not be taken back.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ConfigErrorReason } from "../ConfigError.ts"
import { show } from "../KeyName.ts"
import { TenantId } from "../TenantId.ts"
import { Difference } from "./ConfigDiff.ts"

const keyFields = { namespace: Schema.String, key: Schema.String }

/** The history has no value of this revision: there never was one, or retention removed it. Nothing was written. */
export class UnknownRevision extends Schema.TaggedError<UnknownRevision>()("UnknownRevision", {
  tenant: TenantId,
  ...keyFields,
  revision: Schema.Int
}) {
  override get message() {
    return `The history of tenant ${this.tenant} has no revision ${this.revision} of ${show(this)}; list the revisions with ChangeHistory.ofKey`
  }
}

/** The history has no change of this id: there never was one, or retention removed it. Nothing was written. */
export class UnknownChange extends Schema.TaggedError<UnknownChange>()("UnknownChange", {
  tenant: TenantId,
  /** What was given, cut to 64 characters. */
  changeId: Schema.String
}) {
  override get message() {
    return `The history of tenant ${this.tenant} has no change ${JSON.stringify(this.changeId)}; list the changes with ChangeHistory.list`
  }
}

/** The value is not in the history, since the key is a secret. Nothing was written. */
export class ValueNotKept extends Schema.TaggedError<ValueNotKept>()("ValueNotKept", {
  tenant: TenantId,
  ...keyFields,
  revision: Schema.Int
}) {
  override get message() {
    return `The history gives no value of ${show(this)} at revision ${this.revision}: it is a secret, or longer than 1 MiB; set the value anew`
  }
}

/** Values of the past that the schemas of today refuse. Nothing was written. */
export class NoLongerValid extends Schema.TaggedError<NoLongerValid>()("NoLongerValid", {
  tenant: TenantId,
  /** Each value with where and what was expected; never the value. */
  problems: Schema.Array(Schema.Struct({ ...keyFields, revision: Schema.Int, problem: Schema.String }))
}) {
  override get message() {
    const problems = this.problems.map(
      (each) => `revision ${each.revision} of ${show(each)} is refused: ${each.problem}`
    )
    return `Today's schema does not allow it for tenant ${this.tenant}: ${problems.join("; ")}; set a value that it allows`
  }
}

/** One entry that changed since. */
export const Conflict = Schema.Struct({
  ...keyFields,
  /** 0: no row was expected. */
  expected: Schema.Int,
  /** 0: there is no row. */
  actual: Schema.Int,
  /** Who changed it last, when, and in which change; absent if the history does not say. */
  changedBy: Schema.optionalKey(Schema.String),
  changedAt: Schema.optionalKey(Schema.DateTimeUtcFromString),
  changeId: Schema.optionalKey(Schema.String),
  /** From the expected value to the one in force; empty for a secret. */
  diff: Schema.Array(Difference)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Conflict = typeof Conflict.Type

/**
 * Entries changed since what was to be taken back, or since the revision that the caller expected. Nothing was written.
 */
export class ChangedSince extends Schema.TaggedError<ChangedSince>()("ChangedSince", {
  tenant: TenantId,
  conflicts: Schema.Array(Conflict)
}) {
  /** For `JSON.stringify`, and for Node's `inspect`: where the values differ, without the values. */
  override toJSON(): object {
    const conflicts = this.conflicts.map(({ diff, ...conflict }) => ({
      ...conflict,
      diff: diff.map(({ pointer }) => ({ pointer }))
    }))
    return { _tag: this._tag, tenant: this.tenant, conflicts }
  }
  override get message() {
    const entries = this.conflicts.map((each) => {
      const by = each.changedBy === undefined ? "" : `, changed by ${JSON.stringify(each.changedBy)}`
      return `${show(each)} is at revision ${each.actual}, not ${each.expected}${by}`
    })
    return `Tenant ${this.tenant} changed since: ${entries.join("; ")}; look at these changes, then decide`
  }
}

/** The database has no history, or this role may not read it. */
export class HistoryMissing extends Schema.TaggedError<HistoryMissing>()("HistoryMissing", {
  tenant: TenantId,
  /** What is missing, and what mends it. */
  problem: Schema.String
}) {
  override get message() {
    return `Tenant ${this.tenant} has no history to read: ${this.problem}`
  }
}

/** A query, a page or a cursor that makes no sense. */
export class InvalidQuery extends Schema.TaggedError<InvalidQuery>()("InvalidQuery", {
  parameter: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `${this.parameter} must be ${this.expected}`
  }
}

/** @category errors */
export type ChangeHistoryErrorReason =
  | UnknownRevision
  | UnknownChange
  | ValueNotKept
  | NoLongerValid
  | ChangedSince
  | HistoryMissing
  | InvalidQuery
  | ConfigErrorReason

/** @category errors */
export const ChangeHistoryErrorReason: Schema.Codec<ChangeHistoryErrorReason, any> = Schema.Union([
  UnknownRevision,
  UnknownChange,
  ValueNotKept,
  NoLongerValid,
  ChangedSince,
  HistoryMissing,
  InvalidQuery,
  ConfigErrorReason
])

/**
 * What `ChangeHistory` fails with: reasons of its own, and those of `ConfigError` as they are. Match on a reason with
 * `Effect.catchReason("ChangeHistoryError", "ChangedSince", …)`. The classes of its own reasons are its members:
 * `ChangeHistoryError.ChangedSince`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChangeHistoryError extends Schema.TaggedError<ChangeHistoryError>()("ChangeHistoryError", {
  reason: ChangeHistoryErrorReason
}) {
  static readonly UnknownRevision: typeof UnknownRevision = UnknownRevision
  static readonly UnknownChange: typeof UnknownChange = UnknownChange
  static readonly ValueNotKept: typeof ValueNotKept = ValueNotKept
  static readonly NoLongerValid: typeof NoLongerValid = NoLongerValid
  static readonly ChangedSince: typeof ChangedSince = ChangedSince
  static readonly HistoryMissing: typeof HistoryMissing = HistoryMissing
  static readonly InvalidQuery: typeof InvalidQuery = InvalidQuery

  /** The error for this reason. */
  static of(reason: ChangeHistoryErrorReason): ChangeHistoryError {
    return new ChangeHistoryError({ reason })
  }
  override get message() {
    return this.reason.message
  }
}

/** The types of the reasons of its own. */
export declare namespace ChangeHistoryError {
  type UnknownRevision = InstanceType<typeof ChangeHistoryError.UnknownRevision>
  type UnknownChange = InstanceType<typeof ChangeHistoryError.UnknownChange>
  type ValueNotKept = InstanceType<typeof ChangeHistoryError.ValueNotKept>
  type NoLongerValid = InstanceType<typeof ChangeHistoryError.NoLongerValid>
  type ChangedSince = InstanceType<typeof ChangeHistoryError.ChangedSince>
  type HistoryMissing = InstanceType<typeof ChangeHistoryError.HistoryMissing>
  type InvalidQuery = InstanceType<typeof ChangeHistoryError.InvalidQuery>
}
