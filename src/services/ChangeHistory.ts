/**
 * What was changed, by whom, when and why; and the way back.
 *
 * It answers from the records that the database's triggers wrote, and so knows of changes by any writer. Taking a
 * change back is a new write, which is validated and recorded as any other. Values of secret keys are never in its
 * answers.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { NamedEntry } from "../schema/Entry.ts"
import type { KeyName } from "../schema/KeyName.ts"
import type { ChangeHistoryError } from "../schema/operator/ChangeHistoryError.ts"
import type {
  ChangePage,
  ChangeQuery,
  HistoryEvent,
  PageRequest,
  PastEntry,
  RecordedChange,
  RecordPage
} from "../schema/operator/ChangeRecord.ts"
import type { Retention } from "./HistoryStore.ts"

/**
 * Who takes a change back, and why.
 *
 * @category models
 * @since 0.1.0
 */
export interface RevertOptions {
  /** Who does it: stored with the entries, shown to operators. The same rules as for the actor of `Config.set`. */
  readonly actor: string
  /** Why. Default: what is taken back. */
  readonly reason?: string | undefined
  /** The id of the new change, a UUID: a repetition under the same id takes effect once. Default: a new one. */
  readonly changeId?: string | undefined
}

/**
 * Options of a rollback.
 *
 * @category models
 * @since 0.1.0
 */
export interface RollbackOptions extends RevertOptions {
  /** The revision whose value is put in force again; 0: the key's default. */
  readonly to: number
  /** Only while the entry is at this revision; it fails with `ChangedSince` otherwise. */
  readonly ifRevision?: number | undefined
}

/**
 * The members of {@link ChangeHistory}.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChangeHistoryShape {
  /**
   * Changes of a tenant, newest first, each with all its records: 50 on a page, or as the query says. Fails with
   * `InvalidQuery` if the query cannot be asked.
   */
  readonly list: (query?: ChangeQuery) => Effect.Effect<ChangePage, ChangeHistoryError>
  /** The records of a key of the current tenant, newest first, in pages as of `list`. The key need not be declared. */
  readonly ofKey: (key: KeyName, page?: PageRequest) => Effect.Effect<RecordPage, ChangeHistoryError>
  /** One change, with all its records in one answer. Fails with `UnknownChange` if there is none of this id. */
  readonly get: (changeId: string) => Effect.Effect<RecordedChange, ChangeHistoryError>
  /**
   * All stored entries as they were at a moment, in the order of their names. It reaches back as far as the history
   * does: to its creation, or to what retention keeps. They come in one answer, as those of today do when a tenant is
   * activated, and those of no application too.
   */
  readonly at: (moment: DateTime.DateTime.Input) => Effect.Effect<ReadonlyArray<PastEntry>, ChangeHistoryError>
  /**
   * The changes of the current tenant after a cursor, then each later one within about a second. No change is left out
   * or emitted twice, also of transactions that commit late; what the retention removed meanwhile is no longer there,
   * so go on from a cursor that is younger than what it keeps. It begins with `Reset` if no cursor is given, or one
   * that means nothing in this database.
   *
   * What was recorded since a cursor comes in one answer. A reader that was away while very much was recorded, hundreds
   * of MB, may not get it within 5 seconds: begin again without a cursor then, and read the time between with `list`,
   * whose pages end after 4 MiB.
   */
  readonly since: (cursor?: string | undefined) => Stream.Stream<HistoryEvent, ChangeHistoryError>
  /**
   * Puts the value of an earlier revision in force again: a new write with a revision of its own. Fails with
   * `UnknownKey` if this process does not declare the key, `UnknownRevision`, `ValueNotKept`, `NoLongerValid` or
   * `ChangedSince`, and has then written nothing; otherwise as `Config.set` does.
   */
  readonly rollback: (key: KeyName, options: RollbackOptions) => Effect.Effect<NamedEntry, ChangeHistoryError>
  /**
   * Takes a whole change back: every entry of it is as it was before, in one transaction, or none is. Fails with
   * `ChangedSince` if any of them was changed after it, which names each, with `UnknownChange`, and as `rollback` does.
   */
  readonly revert: (
    changeId: string,
    options: RevertOptions
  ) => Effect.Effect<ReadonlyArray<NamedEntry>, ChangeHistoryError>
  /**
   * Looks for entries that were changed without a record (with the triggers disabled, by a restored dump), records each
   * with `changedBy: "unrecorded"`, and returns how many they were.
   */
  readonly verify: Effect.Effect<number, ChangeHistoryError>
  /**
   * Removes what a retention no longer keeps, and returns how many records that were. Never the record of a revision in
   * force, nor one younger than a day. The role needs the right that `Ddl.grants(role, { purge: true })` gives.
   */
  readonly purge: (retention: Retention) => Effect.Effect<number, ChangeHistoryError>
}

/**
 * The history of tenants: append-only, written by the database itself in the transaction of each change, by any writer.
 *
 * **Details**
 *
 * Every method reads the database of the current tenant, except that a query may name another one. What is taken back
 * is written as `Config.set` writes: validated by the schemas of today, visible to this process when it returns,
 * recorded as a change of its own. A secret has records and no values: it can be neither read here nor rolled back.
 *
 * All fail with `ChangeHistoryError`: with `HistoryMissing` if the database has no history or the role may not read it,
 * with `Unavailable` if the database does not answer within 5 seconds or refuses, with `TenantMissing`, and with
 * `Closed`. A secret key's value and one longer than 1 MiB are never fetched.
 *
 * @category services
 * @since 0.1.0
 */
export class ChangeHistory extends Context.Service<ChangeHistory, ChangeHistoryShape>()(
  "effect-systemplane/services/ChangeHistory"
) {
  /** See {@link ChangeHistoryShape.list}. */
  static readonly list = (query?: ChangeQuery) => ChangeHistory.use((history) => history.list(query))

  /** See {@link ChangeHistoryShape.ofKey}. */
  static readonly ofKey = (key: KeyName, page?: PageRequest) => ChangeHistory.use((history) => history.ofKey(key, page))

  /** See {@link ChangeHistoryShape.get}. */
  static readonly get = (changeId: string) => ChangeHistory.use((history) => history.get(changeId))

  /** See {@link ChangeHistoryShape.at}. */
  static readonly at = (moment: DateTime.DateTime.Input) => ChangeHistory.use((history) => history.at(moment))

  /** See {@link ChangeHistoryShape.since}. */
  static readonly since = (cursor?: string): Stream.Stream<HistoryEvent, ChangeHistoryError, ChangeHistory> =>
    Stream.unwrap(Effect.map(ChangeHistory, (history) => history.since(cursor)))

  /** See {@link ChangeHistoryShape.rollback}. */
  static readonly rollback = (key: KeyName, options: RollbackOptions) =>
    ChangeHistory.use((history) => history.rollback(key, options))

  /** See {@link ChangeHistoryShape.revert}. */
  static readonly revert = (changeId: string, options: RevertOptions) =>
    ChangeHistory.use((history) => history.revert(changeId, options))

  /** See {@link ChangeHistoryShape.verify}. */
  static readonly verify = ChangeHistory.use((history) => history.verify)

  /** See {@link ChangeHistoryShape.purge}. */
  static readonly purge = (retention: Retention) => ChangeHistory.use((history) => history.purge(retention))
}
