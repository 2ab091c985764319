/**
 * A tenant's stored entries.
 *
 * It reads how the table differs from what a caller knows, and writes one change at a time, whole or not at all. It
 * keeps nothing between two calls. What the difference means for readers, and which writes are allowed, is decided by
 * those who call it. Its implementations are `PgEntryStore` and `MemoryEntryStore`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { EntryRow } from "../schema/EntryRow.ts"
import type { EntryStoreError } from "../schema/EntryStoreError.ts"
import type { KeyName } from "../schema/KeyName.ts"
import type { RowDiff } from "../schema/Snapshot.ts"
import type { TenantId } from "../schema/TenantId.ts"
import type { ChangeRequest, Receipt } from "../schema/WriteRequest.ts"

/** What is to become of a key. */
export interface EntryWrite extends KeyName {
  /** The value as JSON text; `undefined` deletes the row. */
  readonly json: string | undefined
  /** Write only over this revision; 0: only if the default is in force. */
  readonly ifRevision?: number | undefined
  /** Whether the history must not keep the value, also if no application has declared the key in the database. */
  readonly secret?: boolean | undefined
}

/**
 * What is known of a change whose answer was lost: it landed; it did not land so far, and it may be sent again, since
 * its id takes effect once; or the database keeps no history that could tell.
 */
export type ChangeOutcome =
  | { readonly _tag: "Landed"; readonly receipt: Receipt }
  | { readonly _tag: "NotYet" }
  | { readonly _tag: "Unrecorded" }

/**
 * How the table differs from what is known of these keys: the rows whose fingerprint is another, and the keys whose row
 * is gone. The answer of one statement, hence one state of the database; no difference proves that the table equals the
 * snapshot.
 */
export type ReadDiff = (
  keys: ReadonlyArray<KeyName>,
  /** The fingerprint of each key's last row, in the order of `keys`; `undefined` if none was seen. */
  known: ReadonlyArray<bigint | undefined>
) => Effect.Effect<ReadonlyArray<RowDiff>, EntryStoreError>

/**
 * Reads and writes a tenant's entries.
 *
 * **Details**
 *
 * Each method is one round trip and needs no replica of the tenant: it works for tenants that are unknown or suspended.
 * A write that wrote nothing, for its guard or because its change id took effect before, is explained by one more. All
 * fail with `EntryStoreError`: a reason of `ConnectorError` (nothing was sent), `NotCommitted`, `Refused`,
 * `RevisionConflict` or `ChangeIdReused` (nothing was written), or `Unanswered` (a write may or may not have landed).
 *
 * @category services
 * @since 0.1.0
 */
export class EntryStore extends Context.Service<
  EntryStore,
  {
    /** The row of a key. */
    readonly read: (tenant: TenantId, key: KeyName) => Effect.Effect<Option.Option<EntryRow>, EntryStoreError>
    /** See {@link ReadDiff}. */
    readonly diff: (tenant: TenantId) => ReadDiff
    /**
     * Writes and deletes rows in one transaction: all of them, or none. An identical value keeps its revision. Durable
     * when it returns. On a database with a history a change id takes effect once: a second copy writes nothing, and
     * returns what the first one wrote. May take 5 seconds, and longer the more there is to write.
     */
    readonly write: (
      tenant: TenantId,
      writes: ReadonlyArray<EntryWrite>,
      change: ChangeRequest
    ) => Effect.Effect<Receipt, EntryStoreError>
    /** What became of a change, by the history. Fails with `ChangeIdReused` if its id belongs to other writes. */
    readonly outcome: (
      tenant: TenantId,
      writes: ReadonlyArray<EntryWrite>,
      change: ChangeRequest
    ) => Effect.Effect<ChangeOutcome, EntryStoreError>
    /**
     * Keeps every copy of a change that wrote nothing from taking effect later, by a record under its id that changes
     * nothing; `one` is one of its writes. Returns what the change wrote if a copy took effect before. A transaction of
     * six round trips, which only a lost answer calls for; it fails on a database without a history.
     */
    readonly fence: (
      tenant: TenantId,
      writes: ReadonlyArray<EntryWrite>,
      one: EntryWrite,
      change: ChangeRequest
    ) => Effect.Effect<Option.Option<Receipt>, EntryStoreError>
    /** Lets go of what is held for the tenant, after the statements under way; the next one resolves it afresh. */
    readonly release: (tenant: TenantId) => Effect.Effect<void>
  }
>()("effect-systemplane/services/EntryStore") {}
