/**
 * Where the history of tenants is kept, and how it is read.
 *
 * Each member is one question to one tenant's history, and answers with records as they are stored. Only `verify` and
 * `purge` write. Pages, secrets that are withheld, and values that are put in force again are the matter of
 * `ChangeHistory`, which stands above it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { EntryRow } from "../schema/EntryRow.ts"
import type { EntryStoreError } from "../schema/EntryStoreError.ts"
import type { KeyName } from "../schema/KeyName.ts"
import type { HistoryMissing } from "../schema/operator/ChangeHistoryError.ts"
import type { ChangeRecord, CheckedQuery, PastEntry } from "../schema/operator/ChangeRecord.ts"
import type { TenantId } from "../schema/TenantId.ts"

/** A change on a page: its records, oldest first, and where the next page begins if this one is the last. */
export interface ListedChange {
  readonly position: number
  readonly records: ReadonlyArray<ChangeRecord>
  /** The page ends here, since its values are long: there may be more changes. */
  readonly full?: boolean | undefined
}

/** Records of a key. */
export interface ListedRecords {
  readonly records: ReadonlyArray<ChangeRecord>
  /** The page ended before its limit, since its values are long: there may be more records. */
  readonly full: boolean
}

/** What was recorded since a cursor. */
export interface HistoryDelta {
  /** The place after these records; opaque. */
  readonly cursor: string
  /** The cursor means nothing in this database, so that there are no records: it was restored, or replaced. */
  readonly reset: boolean
  /** In the order of their ids, whole transactions. */
  readonly records: ReadonlyArray<ChangeRecord>
}

/** Which records of a key may be removed. */
export interface Retention {
  /** Records older than this many days may go. */
  readonly keepDays?: number | undefined
  /** All but this many of the newest records of each key may go. */
  readonly keepPerKey?: number | undefined
}

/** Which records of a key are asked for: at or below a revision, and before a record. */
export interface PastRequest extends KeyName {
  readonly revision: number
  readonly before: number | undefined
}

/** A record as the row that it put in force; `undefined` for a deletion, and for a value that was not kept. */
export interface PastRow {
  readonly id: number
  readonly revision: number
  readonly deleted: boolean
  readonly row: EntryRow | undefined
}

/** What a statement about the history fails with. */
export type HistoryStoreError = EntryStoreError | HistoryMissing

/**
 * Reads the records that the database makes of every change.
 *
 * **Details**
 *
 * Triggers write the records, so that this service has no way to add one. Each method is one statement, and works for
 * tenants that are unknown or suspended. All fail with `HistoryMissing` if the database has no history or the role may
 * not read it.
 *
 * @category services
 * @since 0.1.0
 */
export class HistoryStore extends Context.Service<
  HistoryStore,
  {
    /**
     * Whole changes of which a record fits the query, newest first, at most `limit` of them; fewer if they are long.
     */
    readonly changes: (
      tenant: TenantId,
      query: CheckedQuery
    ) => Effect.Effect<ReadonlyArray<ListedChange>, HistoryStoreError>
    /** Records of a key, newest first, at most `limit` of them; fewer if they are long. */
    readonly ofKey: (
      tenant: TenantId,
      key: KeyName,
      page: { readonly before: number | undefined; readonly limit: number }
    ) => Effect.Effect<ListedRecords, HistoryStoreError>
    /** The newest record of a key that put this revision in force; `undefined` if there is none. */
    readonly ofRevision: (
      tenant: TenantId,
      key: KeyName,
      revision: number
    ) => Effect.Effect<ChangeRecord | undefined, HistoryStoreError>
    /**
     * Of each of these keys the newest records, newest first and at most `limit` of them: fewer if they are long. None:
     * there are no more.
     */
    readonly recall: (
      tenant: TenantId,
      keys: ReadonlyArray<PastRequest>,
      limit: number
    ) => Effect.Effect<ReadonlyArray<ReadonlyArray<PastRow>>, HistoryStoreError>
    /** The records of a change, oldest first; empty if there is none. */
    readonly ofChange: (
      tenant: TenantId,
      changeId: string
    ) => Effect.Effect<ReadonlyArray<ChangeRecord>, HistoryStoreError>
    /** The entries as they were at a moment (in milliseconds), in the order of their names. */
    readonly at: (tenant: TenantId, moment: number) => Effect.Effect<ReadonlyArray<PastEntry>, HistoryStoreError>
    /** What was recorded since a cursor; without one only the place where the history is now. */
    readonly since: (tenant: TenantId, cursor: string | undefined) => Effect.Effect<HistoryDelta, HistoryStoreError>
    /** Records entries that were changed without a record, and returns how many they were. */
    readonly verify: (tenant: TenantId) => Effect.Effect<number, HistoryStoreError>
    /** Removes records that the retention no longer keeps, and returns how many they were. */
    readonly purge: (tenant: TenantId, retention: Retention) => Effect.Effect<number, HistoryStoreError>
  }
>()("effect-systemplane/services/HistoryStore") {}
