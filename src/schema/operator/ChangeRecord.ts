/**
 * What the history of a tenant holds: records of single entries, and changes, which are the records of one transaction.
 *
 * The database writes the records by triggers, so that they hold the writes of other programs too. These are plain
 * data, with a schema for those who send them over a wire. Nothing here reads or writes anything.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"

/**
 * What one statement did to one entry.
 *
 * **Details**
 *
 * `revision` is the revision after the change; a deletion names the one that it removed. `previousRevision` is absent
 * if there was no row. The record of a secret key holds neither value: `redacted` is `true`. `changedBy` is what the
 * writer claims to be; `origin` begins with the role that the server knows (`session_user@application_name`).
 *
 * @category models
 * @since 0.1.0
 */
export const ChangeRecord = Schema.Struct({
  /** Its place in the history. It orders the records of one key. */
  id: Schema.Int,
  namespace: Schema.String,
  key: Schema.String,
  operation: Schema.Literals(["create", "update", "delete"]),
  revision: Schema.Int,
  previousRevision: Schema.optionalKey(Schema.Int),
  /** Absent if there is no value, or if it is not kept. */
  value: Schema.optionalKey(Schema.Json),
  previousValue: Schema.optionalKey(Schema.Json),
  /** Whether the values are withheld: the key is a secret. */
  redacted: Schema.Boolean,
  /**
   * `true` if a value is too long (1 MiB as text) or too deep for a reader, or is not UTF-8: it is kept, stays in the
   * database, and is absent here. This library writes no such value.
   */
  oversized: Schema.optionalKey(Schema.Boolean),
  changedAt: Schema.DateTimeUtcFromString,
  changedBy: Schema.String,
  /** Which change it belongs to; absent in records that another service wrote before there was such an id. */
  changeId: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String),
  origin: Schema.optionalKey(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ChangeRecord = typeof ChangeRecord.Type

/**
 * What one transaction did to a tenant's entries.
 *
 * @category models
 * @since 0.1.0
 */
export const Change = Schema.Struct({
  changeId: Schema.optionalKey(Schema.String),
  /** When its last record was made. */
  changedAt: Schema.DateTimeUtcFromString,
  changedBy: Schema.String,
  reason: Schema.optionalKey(Schema.String),
  origin: Schema.optionalKey(Schema.String),
  /** In the order in which they were made; at least one. */
  records: Schema.Array(ChangeRecord)
})

/**
 * @category models
 * @since 0.1.0
 */
export type RecordedChange = typeof Change.Type

/**
 * A page of changes, newest first.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChangePage {
  readonly changes: ReadonlyArray<RecordedChange>
  /** What to pass as `before` for the next page; `undefined` on the last one. */
  readonly next: number | undefined
}

/**
 * A page of one key's records, newest first.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordPage {
  readonly records: ReadonlyArray<ChangeRecord>
  /** What to pass as `before` for the next page; `undefined` on the last one. */
  readonly next: number | undefined
}

/**
 * Which part of a list is asked for. A page ends before its limit if its values are more than 4 MiB; it holds at least
 * one record, and a change is on a page whole. The last page may be empty.
 *
 * @category models
 * @since 0.1.0
 */
export interface PageRequest {
  /** 1 to 1,000. Default 50. */
  readonly limit?: number | undefined
  /** The `next` of the page before. */
  readonly before?: number | undefined
}

/**
 * Which changes are asked for. A change is listed with all its records if one of them fits.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChangeQuery extends PageRequest {
  /** Default: the current tenant. */
  readonly tenant?: string | undefined
  readonly namespace?: string | undefined
  readonly key?: string | undefined
  /** Who made the change, exactly. */
  readonly actor?: string | undefined
  /** Not before this moment. */
  readonly from?: DateTime.DateTime.Input | undefined
  /** Before this moment. */
  readonly to?: DateTime.DateTime.Input | undefined
}

/** A query whose members were checked; moments in milliseconds. */
export interface CheckedQuery {
  readonly namespace: string | undefined
  readonly key: string | undefined
  readonly actor: string | undefined
  readonly from: number | undefined
  readonly to: number | undefined
  readonly before: number | undefined
  readonly limit: number
}

/**
 * An entry as it was at a moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface PastEntry {
  readonly namespace: string
  readonly key: string
  /** Absent for a secret, and for a value that is too long (1 MiB as text) or too deep for a reader. */
  readonly value?: Schema.Json
  readonly redacted: boolean
  readonly revision: number
  readonly updatedAt: DateTime.Utc
  readonly updatedBy: string
  readonly changeId?: string
}

/**
 * What `ChangeHistory.since` emits. `cursor` names the place after the event: a stream that starts there goes on
 * without a gap.
 *
 * @category models
 * @since 0.1.0
 */
export type HistoryEvent =
  | { readonly _tag: "Change"; readonly change: RecordedChange; readonly cursor: string }
  /**
   * The place that was asked for is unknown here, or none was given: read what you show anew, and go on from this one.
   */
  | { readonly _tag: "Reset"; readonly cursor: string }

/** A record as the entry that it put in force. */
export const pastEntry = (record: ChangeRecord): PastEntry => ({
  namespace: record.namespace,
  key: record.key,
  revision: record.revision,
  redacted: record.redacted,
  updatedAt: record.changedAt,
  updatedBy: record.changedBy,
  ...(record.value === undefined ? {} : { value: record.value }),
  ...(record.changeId === undefined ? {} : { changeId: record.changeId })
})

/** The changes that records belong to, each in the place of its last record, in the order of the records. */
export const group = (records: ReadonlyArray<ChangeRecord>): ReadonlyArray<RecordedChange> => {
  const changes = new Map<string | number, Array<ChangeRecord>>()
  for (const record of records) {
    const id = record.changeId ?? record.id
    const known = changes.get(id) ?? []
    changes.delete(id)
    changes.set(id, known)
    known.push(record)
  }
  return [...changes.values()].map(changeOf)
}

/** The change that these records make up, in the order in which they were made. */
export const changeOf = (records: ReadonlyArray<ChangeRecord>): RecordedChange => {
  const last = records.at(-1)!
  return {
    changedAt: last.changedAt,
    changedBy: last.changedBy,
    ...(last.changeId === undefined ? {} : { changeId: last.changeId }),
    ...(last.reason === undefined ? {} : { reason: last.reason }),
    ...(last.origin === undefined ? {} : { origin: last.origin }),
    records
  }
}
