/**
 * The tenants' scopes in this process: a thin shell around the pure core.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import {
  ConfigError,
  type ConfigErrorReason,
  NotSupported,
  Unavailable,
  UnknownKey,
  WriteOutcomeUnknown
} from "../schema/ConfigError.ts"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import type { Change, Entry } from "../schema/Entry.ts"
import type { EntryRow } from "../schema/EntryRow.ts"
import type { EntryStoreError } from "../schema/EntryStoreError.ts"
import * as Snapshot from "../schema/Snapshot.ts"
import type { TenantId } from "../schema/TenantId.ts"
import { EntryStore } from "../services/EntryStore.ts"
import { KeyRegistry } from "../services/KeyRegistry.ts"
import { TenantCache } from "../services/TenantCache.ts"
import * as Fanout from "./Fanout.ts"
import * as FeedFollower from "./FeedFollower.ts"
import * as ReadThrough from "./ReadThrough.ts"
import * as Scopes from "./Scopes.ts"
import { entryOf } from "./TenantScope.ts"

export interface InProcessTenantCacheOptions extends Scopes.ScopesOptions, FeedFollower.FeedFollowerOptions {}

const make = Effect.fnUntraced(function* (options: InProcessTenantCacheOptions) {
  const registry = yield* KeyRegistry
  const store = yield* EntryStore
  const scopes = yield* Scopes.make(options)
  const readThrough = yield* ReadThrough.make(scopes)
  const follow = yield* FeedFollower.make(scopes, options)

  const declared = (key: ConfigKey.Any): Effect.Effect<void, ConfigError> =>
    registry.slotOf(key) === undefined
      ? failWith(new UnknownKey({ namespace: key.namespace, key: key.key }))
      : Effect.void

  const lastKnown = (tenant: TenantId, key: ConfigKey.Any): Entry<any> | undefined => {
    const scope = scopes.get(tenant)
    const slot = scopes.slotOf(key)
    return scope === undefined || slot === undefined ? undefined : entryOf(scope.snapshot, slot, scope.state !== "live")
  }

  const unavailable = (tenant: TenantId, key: ConfigKey.Any, error: EntryStoreError) => {
    const known = lastKnown(tenant, key)
    return failWith(
      new Unavailable({
        tenant,
        problem: problemOf(error),
        ...(known === undefined || known.confirmedAt === undefined ? {} : { lastKnown: known })
      })
    )
  }

  const peek = (tenant: TenantId, key: ConfigKey.Any): Exit.Exit<any> | undefined => {
    const scope = scopes.get(tenant)
    if (scope === undefined || !scope.answering) return undefined
    const slot = scopes.slotOf(key)
    const answer = slot === undefined ? undefined : scope.answers[slot]
    if (answer !== undefined) scope.hits++
    return answer
  }

  const entry = (tenant: TenantId, key: ConfigKey.Any): Effect.Effect<Entry<any>, ConfigError> =>
    Effect.flatMap(declared(key), () => {
      const known = scopes.get(tenant)?.answering ? lastKnown(tenant, key) : undefined
      return known === undefined
        ? Effect.catch(readThrough.entry(tenant, key), (error) => unavailable(tenant, key, error))
        : Effect.succeed(known)
    })

  /**
   * Sends a write and learns from its answer before it returns. A scope that was made while the write was under way may have
   * read the table before it: for that one, the write began with the scope.
   */
  const write = <A>(
    tenant: TenantId,
    key: ConfigKey.Any,
    send: Effect.Effect<A, EntryStoreError>,
    learn: (state: Snapshot.State, slot: number, answer: A, since: Snapshot.Since) => Snapshot.Outcome
  ): Effect.Effect<Entry<any>, ConfigError> =>
    Effect.gen(function* () {
      yield* declared(key)
      const slot = scopes.slotOf(key)
      const before = scopes.get(tenant)
      const time = yield* Clock.currentTimeMillis
      const clock = before?.snapshot.clock ?? 0
      const answer = yield* Effect.catch(send, (error) =>
        error.reason._tag === "Unanswered"
          ? failWith(new WriteOutcomeUnknown({ tenant, namespace: key.namespace, key: key.key }))
          : unavailable(tenant, key, error)
      )
      readThrough.detach(tenant, key)
      const scope = scopes.get(tenant)
      if (scope === undefined || slot === undefined) {
        return entryOf(learn(Snapshot.make([key]), 0, answer, { clock: 0, time }).state, 0, false)
      }
      const since = { clock: scope === before ? clock : 0, time }
      yield* readThrough
        .learn(scope, (state) => learn(state, slot, answer, since), "write")
        .pipe(
          // The write landed, but something else happened to the key meanwhile and the database no longer answers: the feed
          // settles it once it is back.
          Effect.catch(() => Effect.sync(() => scope.dirty.openUnsafe()))
        )
      return entryOf(scope.snapshot, slot, false)
    }).pipe(Effect.uninterruptible)

  const learnRow = (state: Snapshot.State, slot: number, row: EntryRow, since: Snapshot.Since) =>
    Snapshot.learnRow(state, slot, row, since)

  const learnDeletion = (state: Snapshot.State, slot: number, row: Option.Option<number>, since: Snapshot.Since) =>
    Snapshot.learnDeletion(state, slot, Option.getOrUndefined(row), since)

  const subscribe = (key: ConfigKey.Any) =>
    Effect.gen(function* () {
      yield* Effect.orDie(declared(key))
      if (scopes.slotOf(key) === undefined) {
        yield* Effect.logWarning("A key beyond maxEntriesPerTenant is not followed: no change of it will be seen").pipe(
          Effect.annotateLogs({ key: `${key.namespace}/${key.key}` })
        )
      }
      const mailbox = Fanout.makeMailbox<TenantId, Change<any>>((waiting, newer) => ({
        ...newer,
        previous: waiting.previous
      }))
      yield* scopes.subscribers.subscribe(key, mailbox)
      return mailbox.take
    })

  const watch = (tenant: TenantId, key: ConfigKey.Any): Stream.Stream<Entry<any>, ConfigError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        yield* declared(key)
        const slot = scopes.slotOf(key)
        if (slot === undefined) {
          return yield* failWith(
            new NotSupported({
              problem: `${key.namespace}/${key.key} is beyond maxEntriesPerTenant and cannot be watched; raise the limit`
            })
          )
        }
        // Subscribed before the first entry is read, so that no change falls between them.
        const changed = Fanout.makeMailbox<void, void>(() => undefined)
        yield* scopes.watchers.subscribe(scopes.watchTopic(tenant, slot), changed)
        const first = yield* entry(tenant, key)
        return Stream.changesWith(Stream.concat(Stream.succeed(first), laterEntries(tenant, key, changed)), sameEntry)
      })
    )

  const laterEntries = (tenant: TenantId, key: ConfigKey.Any, changed: Fanout.Mailbox<void, void>) =>
    Stream.flatMap(Fanout.stream(changed), () => {
      const now = lastKnown(tenant, key)
      return now === undefined ? Stream.empty : Stream.succeed(now)
    })

  return TenantCache.of({
    peek,
    get: (tenant, key) => peek(tenant, key) ?? Effect.map(entry(tenant, key), (entry) => entry.value),
    entry,
    lastKnown,
    put: (tenant, key, json, actor) => write(tenant, key, store.put(tenant, key, json, actor), learnRow),
    remove: (tenant, key) => write(tenant, key, store.remove(tenant, key), learnDeletion),
    watch,
    subscribe,
    follow,
    suspend: (tenant) =>
      Effect.suspend(() => scopes.relink(scopes.open(tenant), { suspended: true, connected: false })),
    forget: scopes.forget
  })
})

export const layer = (options: InProcessTenantCacheOptions) => Layer.effect(TenantCache, make(options))

const failWith = (reason: ConfigErrorReason) => Effect.fail(new ConfigError({ reason }))

// That a database belongs to another tenant is for operators: a reader must not learn the other one's name.
const problemOf = ({ reason }: EntryStoreError): string =>
  reason._tag === "Unreachable" && reason.cause.reason._tag === "DatabaseShared"
    ? "its database is in use by another tenant"
    : reason.message

const sameEntry = (a: Entry<unknown>, b: Entry<unknown>) => a.revision === b.revision && Equal.equals(a.value, b.value)
