/**
 * `TenantCache` in this process: decides for each read whether the tenant's replica may answer, or the database has to.
 *
 * ```
 *   get, entry, snapshot ──▶ Replicas (may it answer?) ── no ──▶ DatabaseReads ──▶ Reconciling ──▶ Replicas
 *   write                ──▶ WriteThrough ──▶ the database ──▶ Reconciling ──▶ Replicas
 *   follow               ──▶ FeedFollower ──▶ Replicas
 *   watch, subscribe     ◀── Fanout ◀── Replicas
 * ```
 *
 * It keeps no state of its own: a replica belongs to Replicas, and how an answer changes one is the pure core's
 * (Snapshot). What happens here is the choice between the two, and the translation of the store's errors into reasons
 * of `ConfigError`. A key that is not declared fails before anything is read.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { ConfigError, NotSupported } from "../../schema/ConfigError.ts"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import * as ConfigReasons from "../../schema/ConfigReasons.ts"
import type { ConfigSnapshot } from "../../schema/ConfigSnapshot.ts"
import type { Entry } from "../../schema/Entry.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as KeyHints from "../../schema/KeyHints.ts"
import { show } from "../../schema/KeyName.ts"
import * as ReaderOwned from "../../schema/ReaderOwned.ts"
import type * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { WriteRequest } from "../../schema/WriteRequest.ts"
import type { ConfigHandle } from "../../services/ConfigHandle.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { notInMemory, TenantCache } from "../../services/TenantCache.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { failWith, unknownKey } from "../store/ConfigFailure.ts"
import { entryOf } from "../store/Entries.ts"
import * as WritesUnderWay from "../store/WritesUnderWay.ts"
import * as ApplicationCode from "../telemetry/ApplicationCode.ts"
import * as DatabaseReads from "./DatabaseReads.ts"
import * as Fanout from "./Fanout.ts"
import * as FeedFollower from "./FeedFollower.ts"
import * as LiveHandle from "./LiveHandle.ts"
import * as Reconciling from "./Reconciling.ts"
import * as Replicas from "./Replicas.ts"
import * as Subscription from "./Subscription.ts"
import * as WriteThrough from "./WriteThrough.ts"

export interface InProcessTenantCacheOptions extends Replicas.ReplicasOptions, FeedFollower.FeedFollowerOptions {}

const make = Effect.fnUntraced(function* (options: InProcessTenantCacheOptions) {
  const registry = yield* KeyRegistry
  const store = yield* EntryStore
  const replicas = yield* Replicas.make(options)
  const reconciling = yield* Reconciling.make(replicas)
  const databaseReads = yield* DatabaseReads.make(replicas, reconciling)
  const writeThrough = yield* WriteThrough.make(replicas, reconciling, databaseReads)
  const underWay = yield* WritesUnderWay.make
  const follow = yield* FeedFollower.make(replicas, options)
  const enter = yield* ApplicationCode.entrance

  const declared = (key: ConfigKey.Any): Effect.Effect<void, ConfigError> =>
    registry.slotOf(key) === undefined ? failWith(unknownKey(key)) : Effect.void

  const lastKnown = (tenant: TenantId, key: ConfigKey.Any): Entry<any> | undefined => {
    const replica = replicas.get(tenant)
    const slot = replicas.slotOf(key)
    return replica === undefined || slot === undefined
      ? undefined
      : entryOf(replica.snapshot, slot, !replicas.isLive(replica), replicas.clock)
  }

  const unavailable = (tenant: TenantId, key: ConfigKey.Any, error: EntryStoreError) => {
    const known = lastKnown(tenant, key)
    // A secret must not travel in an error, which the application may log.
    return ConfigReasons.ofRead(error, known?.confirmedAt === undefined || key.secret ? undefined : known)
  }

  /** The entry as the database has it. */
  const entryInDatabase = (tenant: TenantId, key: ConfigKey.Any): Effect.Effect<Entry<any>, ConfigError> =>
    Effect.catch(databaseReads.entry(tenant, key), (error) => failWith(unavailable(tenant, key, error)))

  const entry = (tenant: TenantId, key: ConfigKey.Any): Effect.Effect<Entry<any>, ConfigError> =>
    Effect.flatMap(declared(key), () => {
      const replica = replicas.get(tenant)
      const slot = replicas.slotOf(key)
      if (replica === undefined || slot === undefined || !replicas.mayAnswer(replica)) {
        return entryInDatabase(tenant, key)
      }
      replica.hits++
      return Effect.succeed(entryOf(replica.snapshot, slot, !replicas.isLive(replica), replicas.clock))
    })

  // A handle begins with what is known of the key when it is made; if nothing is known, the database is asked.
  const handle = (tenant: TenantId, key: ConfigKey.Any): Effect.Effect<ConfigHandle<any>, ConfigError> =>
    Effect.flatMap(declared(key), () => {
      const slot = replicas.slotOf(key)
      return slot === undefined
        ? failWith(notCached(key, "held by a handle"))
        : Effect.zipWith(entry(tenant, key), MonotonicClock.millis, (entry, time) =>
            LiveHandle.make(replicas, tenant, slot, { entry, time })
          )
    })

  const snapshotOf = (
    tenant: TenantId,
    state: Snapshot.State,
    values: ReadonlyArray<unknown>,
    stale: boolean
  ): ConfigSnapshot => {
    const held = (key: ConfigKey.Any): number => {
      const slot = replicas.slotOf(key)
      if (slot !== undefined) return slot
      throw new ConfigError({
        reason: registry.slotOf(key) === undefined ? unknownKey(key) : notCached(key, "read from a snapshot")
      })
    }
    const { keys } = replicas
    // One is shared by the readers of a tenant.
    return Object.freeze<ConfigSnapshot>({
      tenant,
      get: (key) => ReaderOwned.handOut(values[KeyHints.slotIn(keys, key) ?? held(key)]),
      entry: (key) => entryOf(state, held(key), stale, replicas.clock) as Entry<any>
    })
  }

  const snapshot = (tenant: TenantId): Effect.Effect<ConfigSnapshot, ConfigError> =>
    Effect.suspend(() => {
      const replica = replicas.get(tenant)
      if (replica !== undefined && replicas.mayAnswer(replica)) {
        replica.hits++
        if (!replicas.isLive(replica)) return Effect.succeed(snapshotOf(tenant, replica.snapshot, replica.values, true))
        replica.image ??= snapshotOf(tenant, replica.snapshot, replica.values, false)
        return Effect.succeed(replica.image)
      }
      return databaseReads.whole(tenant).pipe(
        Effect.map((state) =>
          snapshotOf(
            tenant,
            state,
            state.slots.map(({ value }) => value),
            false
          )
        ),
        Effect.catch((error) => failWith(ConfigReasons.ofRead(error)))
      )
    })

  /** The entries of keys that no replica holds, in one statement. */
  const uncachedEntries = (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>
  ): Effect.Effect<ReadonlyArray<Entry<any>>, ConfigError> =>
    keys.length === 0
      ? Effect.succeed([])
      : Effect.gen(function* () {
          const time = yield* MonotonicClock.millis
          const found = yield* store.diff(tenant)(
            keys,
            keys.map(() => undefined)
          )
          return yield* replicas.readAlone(tenant, keys, found, time)
        }).pipe(Effect.catch((error) => failWith(ConfigReasons.ofRead(error))))

  const entries = (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>
  ): Effect.Effect<ReadonlyArray<Entry<any>>, ConfigError> =>
    Effect.gen(function* () {
      yield* Effect.forEach(keys, declared, { discard: true })
      const uncached = keys.filter((key) => replicas.slotOf(key) === undefined)
      const cached = uncached.length < keys.length ? yield* snapshot(tenant) : undefined
      const others = yield* uncachedEntries(tenant, uncached)
      let next = 0
      return keys.map((key) => (replicas.slotOf(key) === undefined ? others[next++]! : cached!.entry(key)))
    })

  const write = (tenant: TenantId, request: WriteRequest): Effect.Effect<ReadonlyArray<Entry<any>>, ConfigError> =>
    Effect.andThen(
      Effect.forEach(request.writes, ({ key }) => declared(key), { discard: true }),
      underWay.run(
        Effect.catch(writeThrough.write(tenant, request), (error) =>
          failWith(ConfigReasons.ofWrite(error, request, () => unavailable(tenant, request.writes[0]!.key, error)))
        ),
        () => new ConfigError({ reason: ConfigReasons.unknownOutcome(tenant, request) })
      )
    )

  const subscribe = Effect.fnUntraced(function* (key: ConfigKey.Any) {
    yield* Effect.orDie(declared(key))
    if (replicas.slotOf(key) === undefined) {
      yield* Effect.logWarning("A key beyond maxEntriesPerTenant is not followed: no change of it will be seen").pipe(
        Effect.annotateLogs({ key: show(key) })
      )
    }
    const subscription = Subscription.make(key)
    yield* replicas.subscribe(key, subscription)
    return subscription.take
  })

  const watch = (tenant: TenantId, key: ConfigKey.Any): Stream.Stream<Entry<any>, ConfigError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        yield* declared(key)
        const slot = replicas.slotOf(key)
        if (slot === undefined) {
          return yield* failWith(notCached(key, "watched"))
        }
        // Subscribed before the first entry is read, so that no change falls between them.
        const changed = Fanout.makeMailbox<void, void>(() => undefined)
        yield* replicas.watchers.subscribe(replicas.watchTopic(tenant, slot), changed)
        const first = yield* enter(entry(tenant, key))
        return Stream.changesWith(
          Stream.concat(Stream.succeed(first), laterEntries(tenant, key, changed)),
          sameEntry(key)
        )
      })
    )

  const laterEntries = (tenant: TenantId, key: ConfigKey.Any, changed: Fanout.Mailbox<void, void>) =>
    Stream.flatMap(Fanout.stream(changed), () => {
      const now = lastKnown(tenant, key)
      // A replica that was just made again holds defaults that the database has not confirmed.
      const known = now?.revision !== 0 || replicas.get(tenant)?.snapshot.loaded === true
      return now !== undefined && known ? Stream.succeed(now) : Stream.empty
    })

  return TenantCache.of({
    view: replicas.view,
    get: (tenant, key) =>
      Effect.suspend(() => {
        const view = replicas.view(tenant)
        const known = view === undefined ? notInMemory : view.peek(key)
        return known === notInMemory
          ? Effect.andThen(declared(key), enter(Effect.map(entryInDatabase(tenant, key), ({ value }) => value)))
          : Effect.succeed(known)
      }),
    entry: (tenant, key) => enter(entry(tenant, key)),
    entries: (tenant, keys) => enter(entries(tenant, keys)),
    lastKnown,
    handle: (tenant, key) => enter(handle(tenant, key)),
    snapshot: (tenant) => enter(snapshot(tenant)),
    write: (tenant, request) => enter(write(tenant, request)),
    watch,
    subscribe,
    follow,
    suspend: (tenant) =>
      Effect.suspend(() => replicas.setCondition(replicas.open(tenant), { suspended: true, connected: false })),
    resume: (tenant) =>
      Effect.suspend(() => {
        const replica = replicas.get(tenant)
        return replica === undefined ? Effect.void : replicas.resume(replica)
      }),
    forget: replicas.forget
  })
})

export const layer = (options: InProcessTenantCacheOptions) => Layer.effect(TenantCache, make(options))

const notCached = (key: ConfigKey.Any, what: string) =>
  new NotSupported({
    problem: `${show(key)} is beyond maxEntriesPerTenant and cannot be ${what}; raise the limit`
  })

const sameEntry = (key: ConfigKey.Any) => (a: Entry<unknown>, b: Entry<unknown>) =>
  a.revision === b.revision && ReaderOwned.isSame(key, a.value, b.value)
