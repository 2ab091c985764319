/**
 * A tenant's stored entries.
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

/** What is to be written for a key. */
export interface EntryWrite extends KeyName {
  /** The value as JSON text. */
  readonly json: string
  /** Write only over this revision; 0: only where there is no row. */
  readonly ifRevision?: number | undefined
}

/**
 * How the table differs from what is known of these keys: the rows whose fingerprint is another, and the keys whose row
 * is gone. The answer of one statement, hence one state of the database; no difference proves that the table equals the snapshot.
 */
export type ReadDiff = (
  keys: ReadonlyArray<KeyName>,
  /** The fingerprint of each key's last row, in the order of `keys`; `undefined` where none was seen. */
  known: ReadonlyArray<bigint | undefined>
) => Effect.Effect<ReadonlyArray<RowDiff>, EntryStoreError>

/**
 * Reads and writes a tenant's entries.
 *
 * **Details**
 *
 * Each method is one round trip and needs no scope of the tenant: it works for tenants that are unknown or suspended.
 * Writes are durable when they return, and return the row as stored. All fail with `EntryStoreError`: a reason of `ConnectorError`
 * (nothing was sent), `NotCommitted`, `Refused` or `RevisionMismatch` (nothing was written), or `Unanswered` (a write may or may not have landed).
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
    /** Writes the value of a key. An identical value keeps its revision. */
    readonly put: (tenant: TenantId, write: EntryWrite, actor: string) => Effect.Effect<EntryRow, EntryStoreError>
    /** Writes the values of several keys in one transaction: all of them, or none. Returns the rows in the order given. */
    readonly putAll: (
      tenant: TenantId,
      writes: ReadonlyArray<EntryWrite>,
      actor: string
    ) => Effect.Effect<ReadonlyArray<EntryRow>, EntryStoreError>
    /** Deletes the row of a key and returns the revision it had; `None` where there was none. */
    readonly remove: (
      tenant: TenantId,
      key: KeyName,
      ifRevision?: number | undefined
    ) => Effect.Effect<Option.Option<number>, EntryStoreError>
    /** Lets go of what is held for the tenant, after the statements under way; the next one resolves it afresh. */
    readonly release: (tenant: TenantId) => Effect.Effect<void>
  }
>()("effect-systemplane/services/EntryStore") {}
