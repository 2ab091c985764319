/**
 * The live state of tenants in this process.
 *
 * The cache holds a replica of each tenant that is followed, answers reads from it, and asks the database if the
 * replica may not answer. It holds what it is told to hold: `TenantManager` decides which tenants that are, and
 * `Config` finds the tenant and the key of a read.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ConfigError } from "../schema/ConfigError.ts"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import type { ConfigSnapshot } from "../schema/ConfigSnapshot.ts"
import type { Change, Entry } from "../schema/Entry.ts"
import type { TenantId } from "../schema/TenantId.ts"
import type { WriteRequest } from "../schema/WriteRequest.ts"
import type { ConfigHandle } from "./ConfigHandle.ts"

/**
 * A tenant's replica, as reads look at it. A view held after the tenant's removal answers nothing; ask for a new one.
 */
export interface TenantView {
  /** The value in the snapshot; `notInMemory` if the database has to be asked. */
  readonly peek: <A>(key: ConfigKey<A>) => A | typeof notInMemory
}

/** What a {@link TenantView} answers if the database has to be asked: the value of no key. */
export const notInMemory: unique symbol = Symbol("effect-systemplane/services/TenantCache/notInMemory")

/**
 * One replica per tenant: an immutable snapshot of all cached keys, kept equal to the tenant's database by its feed.
 *
 * **Freshness.** While a replica is `live`, a read is answered from the snapshot, which lags a commit by the time of
 * one notification and one read. Under a stream of changes a read begins up to 2 seconds later, so that reading takes 5
 * % of a core at most. Whatever was lost, the snapshot equals the table after one verify period. A value that was not
 * confirmed for `maxStaleness` is no longer answered from memory; time for which the machine slept counts. Per key, no
 * reader in this process sees a lower revision after a higher one, except that a deletion puts the default back at
 * revision 0, and that a table which itself went back (a restored backup) is taken as it is.
 *
 * **Failure.** While the feed is down, the snapshot answers, marked stale, until the feed has failed
 * `staleAfterFailures` times or `maxStaleness` has passed. Then reads go to the database. If it does not answer within
 * 5 seconds (and 5 ms for each key, if all are read) they fail with `Unavailable`, which carries the last known entry.
 * After three such reads in a row they fail at once, and one of them tries again after 500 ms, then with growing
 * delays, up to 10 seconds. A row that does not decode never comes into force: the last valid value stays, and the row
 * is reported once.
 *
 * **Cost.** All work is done at publication: a read is one map look-up and no allocation; of a handle or a snapshot, a
 * few field loads. Every notification batch costs one short statement on the feed's session, one in flight per tenant,
 * however many keys there are and however many changed. It costs a second one, which returns all rows, if a row went,
 * kept its revision or committed late. Notifications of names that are not declared cost no statement. Reads of one key
 * that go to the database share one query, and at most 8 run at once for a tenant. One that finds its key changed since
 * everything was last read has everything read, once for all of them: the key was perhaps written together with others.
 *
 * **Gotchas.** Keys beyond `maxEntriesPerTenant` have no snapshot: they are read through, and can be neither watched
 * nor held by a handle.
 *
 * @category services
 * @since 0.1.0
 */
export class TenantCache extends Context.Service<
  TenantCache,
  {
    /** The tenant's replica, to be looked at without any I/O; `undefined` if there is none. */
    readonly view: (tenant: TenantId) => TenantView | undefined
    /** The value in force: from the snapshot if that may be trusted, else from the database. */
    readonly get: <A>(tenant: TenantId, key: ConfigKey<A>) => Effect.Effect<A, ConfigError>
    /** As `get`, with revision, source and freshness. */
    readonly entry: <A>(tenant: TenantId, key: ConfigKey<A>) => Effect.Effect<Entry<A>, ConfigError>
    /**
     * The entries of several keys at one moment, in the order given: from the snapshot if that may be trusted, else by
     * one read of the database; those of uncached keys by one read more, however many there are.
     */
    readonly entries: (
      tenant: TenantId,
      keys: ReadonlyArray<ConfigKey.Any>
    ) => Effect.Effect<ReadonlyArray<Entry<any>>, ConfigError>
    /** What was last known, however old; `undefined` for a tenant without a replica and for an uncached key. */
    readonly lastKnown: <A>(tenant: TenantId, key: ConfigKey<A>) => Entry<A> | undefined
    /**
     * The live value of a key. Fails as `entry` does, and with `NotSupported` for an uncached key. Survives suspension,
     * removal and re-activation; in between it answers what was last known.
     */
    readonly handle: <A>(tenant: TenantId, key: ConfigKey<A>) => Effect.Effect<ConfigHandle<A>, ConfigError>
    /** All cached keys at one moment: from memory if that may be trusted, else read in one statement. */
    readonly snapshot: (tenant: TenantId) => Effect.Effect<ConfigSnapshot, ConfigError>
    /**
     * Writes and deletes in one transaction, visible together, as one change with a definite outcome: see `Config.set`.
     * Reads that begin after it returns see what it wrote, or something newer. Returns the entries in the order given.
     */
    readonly write: (tenant: TenantId, request: WriteRequest) => Effect.Effect<ReadonlyArray<Entry<any>>, ConfigError>
    /** The entry as it is now, then each newer one; a slow reader skips to the newest. Survives re-activation. */
    readonly watch: <A>(tenant: TenantId, key: ConfigKey<A>) => Stream.Stream<Entry<A>, ConfigError>
    /**
     * Subscribes to the changes of a key in every replica: first each tenant that is loaded and whose value is not the
     * default, then each tenant whose value differs from what this subscription was last given. The effect it yields
     * waits for a change and takes the newest of each tenant. A key that was not declared is a defect.
     */
    readonly subscribe: <A>(
      key: ConfigKey<A>
    ) => Effect.Effect<Effect.Effect<ReadonlyArray<Change<A>>>, never, Scope.Scope>

    /**
     * Opens the tenant's replica if there is none, and follows the feed until interrupted: reconciles on every
     * connection, then keeps the snapshot current and verified. Interruption releases the session and keeps the
     * snapshot.
     */
    readonly follow: (tenant: TenantId) => Effect.Effect<never>
    /** Keeps the tenant's snapshot, but answers reads from the database until it is followed again. */
    readonly suspend: (tenant: TenantId) => Effect.Effect<void>
    /**
     * A tenant that was suspended is wanted again: it is activating, also while its database is still being prepared.
     */
    readonly resume: (tenant: TenantId) => Effect.Effect<void>
    /** Forgets the tenant's replica. Watchers stay, and continue once the tenant is followed again. */
    readonly forget: (tenant: TenantId) => Effect.Effect<void>
  }
>()("effect-systemplane/services/TenantCache") {}
