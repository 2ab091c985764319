/**
 * What applications use: typed reads, writes and subscriptions.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConfigError } from "../schema/ConfigError.ts"
import type { Assignment, ConfigKey, ConfigKeyGroup } from "../schema/ConfigKey.ts"
import type { ConfigSnapshot } from "../schema/ConfigSnapshot.ts"
import type { Change, Entry, NamedEntry } from "../schema/Entry.ts"
import * as KeyHints from "../schema/KeyHints.ts"
import type { ConfigHandle } from "./ConfigHandle.ts"
import * as CachedRead from "./internal/CachedRead.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface WriteAllOptions {
  /** Who writes: stored with the entry, shown to operators. Not a secret. */
  readonly actor: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface WriteOptions extends WriteAllOptions {
  /**
   * Write only while the entry is at this revision; 0: only while there is no row. Of several writers who expect the same
   * revision, one succeeds; the others fail with `RevisionConflict`.
   */
  readonly ifRevision?: number | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ConfigShape {
  /**
   * The value in force for the current tenant. A key given by its names yields the JSON of that value, for tools.
   *
   * **Details**
   *
   * Without I/O while the tenant is live; from the database otherwise. Fails with `TenantMissing`, `UnknownKey`, or, where
   * the database does not answer, `Unavailable`, which carries the last known entry.
   */
  readonly get: {
    <A>(key: ConfigKey<A>): Effect.Effect<A, ConfigError>
    (namespace: string, key: string): Effect.Effect<Schema.Json, ConfigError>
  }
  /**
   * As `get`, but never fails: the last known value where the database does not answer, else the key's default.
   *
   * **Example** (A value for a reader who cannot fail)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Config, SystemplaneMemory, withTenant } from "effect-systemplane"
   * import { Burst, RequestsPerMinute } from "./keys.ts"
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute, Burst], tenants: ["acme"] })
   *
   * const program = Effect.gen(function* () {
   *   const limit = yield* Config.getOrDefault(RequestsPerMinute)
   *   const burst = yield* Config.getOrDefault(Burst)
   *   console.log(limit + burst) // 620
   * })
   *
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   */
  readonly getOrDefault: <A>(key: ConfigKey<A>) => Effect.Effect<A>
  /**
   * The value in force with its revision, source and freshness. Fails as `get` does.
   *
   * **Example** (How fresh is it?)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Config, SystemplaneMemory, withTenant } from "effect-systemplane"
   * import { Burst, RequestsPerMinute } from "./keys.ts"
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute, Burst], tenants: ["acme"] })
   *
   * const program = Effect.gen(function* () {
   *   const { confirmedAt, revision, source, stale } = yield* Config.entry(RequestsPerMinute)
   *   console.log(source, revision > 0, stale, confirmedAt)
   *   yield* Config.entry(Burst)
   * })
   *
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   */
  readonly entry: <A>(key: ConfigKey<A>) => Effect.Effect<Entry<A>, ConfigError>
  /**
   * All keys of the current tenant at one moment, for reading many in one request: keys written in one transaction are all old
   * in it, or all new. Without I/O while the tenant is live; one statement otherwise. Fails with `TenantMissing` or
   * `Unavailable`.
   *
   * **Example** (Two keys of one moment)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Config, SystemplaneMemory, withTenant } from "effect-systemplane"
   * import { Burst, RequestsPerMinute } from "./keys.ts"
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute, Burst], tenants: ["acme"] })
   *
   * const program = Effect.gen(function* () {
   *   const snapshot = yield* Config.snapshot
   *   console.log(snapshot.get(RequestsPerMinute) / snapshot.get(Burst)) // 30
   * })
   *
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   */
  readonly snapshot: Effect.Effect<ConfigSnapshot, ConfigError>
  /**
   * The current tenant's live handle of a key, for hot paths: `handle.current` is a synchronous read, and follows the tenant
   * through suspension, removal and re-activation. Fails as `get` does where nothing is known of the key yet, with
   * `NotSupported` for a key beyond `maxEntriesPerTenant`, and with `Closed` after a drain.
   */
  readonly handle: <A>(key: ConfigKey<A>) => Effect.Effect<ConfigHandle<A>, ConfigError>
  /** The values of a group of keys as one record, from one snapshot. Fails as `snapshot` does, and with `UnknownKey`. */
  readonly getGroup: <F extends ConfigKeyGroup.Fields>(
    group: ConfigKeyGroup<F>
  ) => Effect.Effect<ConfigKeyGroup.Values<F>, ConfigError>
  /** The declared keys of a namespace with their entries, in the order of declaration. Fails as `get` does. */
  readonly list: (namespace: string) => Effect.Effect<ReadonlyArray<NamedEntry>, ConfigError>
  /**
   * The current tenant's entry as it is now, then each newer one. A slow reader skips to the newest.
   *
   * **Details**
   *
   * Outlives suspension, removal and re-activation of the tenant. Fails as `get` does for the first entry, with
   * `NotSupported` for a key beyond `maxEntriesPerTenant`, and with `Closed` after a drain.
   *
   * **Example** (The first entry at or above a limit)
   *
   * ```ts
   * import { Effect, Stream } from "effect"
   * import { Config, SystemplaneMemory, withTenant } from "effect-systemplane"
   * import { Burst, RequestsPerMinute } from "./keys.ts"
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute, Burst], tenants: ["acme"] })
   *
   * const program = Effect.gen(function* () {
   *   yield* Config.set(RequestsPerMinute, 1200, { actor: "ada" })
   *   const raised = yield* Config.watch(RequestsPerMinute).pipe(
   *     Stream.filter((entry) => entry.value >= 1000),
   *     Stream.runHead
   *   )
   *   console.log(raised, yield* Config.get(Burst))
   * })
   *
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   */
  readonly watch: <A>(key: ConfigKey<A>) => Stream.Stream<Entry<A>, ConfigError>
  /**
   * The changes of a key, for every live tenant, from when the stream runs. A slow reader skips to the newest of each
   * tenant. A key that was not declared is a defect, as is a plane that follows nothing (`SystemplaneReadThrough`).
   */
  readonly changes: <A>(key: ConfigKey<A>) => Stream.Stream<Change<A>>
  /**
   * Runs a handler on each change, for as long as the scope lives.
   *
   * **Details**
   *
   * The handler runs with `CurrentTenant` set to the tenant that changed, for one change of a tenant at a time and for
   * different tenants at once. What it fails or dies with is logged, text and all: keep secrets out of its errors. One that
   * hangs holds up only its own tenant's next change. Subscribed when the effect returns. A defect where `changes` is one.
   *
   * **Example** (Following every tenant)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Config, SystemplaneMemory, withTenant } from "effect-systemplane"
   * import { Burst, RequestsPerMinute } from "./keys.ts"
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute, Burst], tenants: ["acme"] })
   *
   * const program = Effect.gen(function* () {
   *   yield* Config.onChange(RequestsPerMinute, ({ previous, tenant, value }) =>
   *     Effect.log(`${tenant}: ${previous} -> ${value}`)
   *   )
   *   yield* Config.set(RequestsPerMinute, 100 + (yield* Config.get(Burst)), { actor: "ada" })
   * }).pipe(Effect.scoped)
   *
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   */
  readonly onChange: <A, E, R>(
    key: ConfigKey<A>,
    handler: (change: Change<A>) => Effect.Effect<void, E, R>
  ) => Effect.Effect<void, never, R | Scope.Scope>
  /**
   * Writes a value for the current tenant, and returns the entry as stored.
   *
   * **Details**
   *
   * Every read in this process that begins after it returns sees this value or a newer one. It is not interrupted once begun,
   * and ends within 7 seconds, or within 15 where the answer is lost and the database is asked what became of it. Fails with `InvalidValue`
   * before anything is sent, and with `Unavailable` where nothing was written: the database cannot be reached, another transaction
   * holds the row for longer than 2 seconds (or `lock_timeout`, where the role sets one), or the connection was lost before
   * the commit. Fails with `WriteOutcomeUnknown` where the connection was lost while the answer was awaited, and the
   * database does not show that it landed; such a write may still land later.
   *
   * **Example** (Only over the revision that was read)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Config, SystemplaneMemory, withTenant } from "effect-systemplane"
   * import { Burst, RequestsPerMinute } from "./keys.ts"
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute, Burst], tenants: ["acme"] })
   *
   * const program = Effect.gen(function* () {
   *   const { revision, value } = yield* Config.entry(RequestsPerMinute)
   *   yield* Config.set(RequestsPerMinute, value * 2, { actor: "ada", ifRevision: revision }).pipe(
   *     Effect.catchReason("ConfigError", "RevisionConflict", ({ actual }) =>
   *       Effect.log(`somebody wrote revision ${actual} meanwhile`)
   *     )
   *   )
   *   console.log(yield* Config.get(Burst))
   * })
   *
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   */
  readonly set: <A>(key: ConfigKey<A>, value: NoInfer<A>, options: WriteOptions) => Effect.Effect<Entry<A>, ConfigError>
  /**
   * Writes several values for the current tenant in one transaction: visible together, all of them or none. Returns the
   * entries in the order given.
   *
   * **Details**
   *
   * Everything is checked before anything is written: `InvalidValue` names every value that is refused. An assignment may
   * carry an `ifRevision` of its own. A key may be named once. Fails as `set` does.
   *
   * **Example** (Two values, visible together)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Config, ConfigKey, SystemplaneMemory, withTenant } from "effect-systemplane"
   * import { Burst, RequestsPerMinute } from "./keys.ts"
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute, Burst], tenants: ["acme"] })
   *
   * const program = Effect.gen(function* () {
   *   yield* Config.setAll([ConfigKey.value(RequestsPerMinute, 1200), ConfigKey.value(Burst, 40)], { actor: "ada" })
   * })
   *
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   */
  readonly setAll: (
    assignments: ReadonlyArray<Assignment.Any>,
    options: WriteAllOptions
  ) => Effect.Effect<ReadonlyArray<Entry<unknown>>, ConfigError>
  /**
   * Deletes the current tenant's row: the default is in force again, at revision 0. Fails as `set` does.
   *
   * **Example** (Back to the default)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Config, SystemplaneMemory, withTenant } from "effect-systemplane"
   * import { Burst, RequestsPerMinute } from "./keys.ts"
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute, Burst], tenants: ["acme"] })
   *
   * const program = Effect.gen(function* () {
   *   yield* Config.set(Burst, 40, { actor: "ada" })
   *   const entry = yield* Config.remove(Burst, { actor: "ada" })
   *   console.log(entry.value, entry.source, yield* Config.get(RequestsPerMinute)) // 20 default 600
   * })
   *
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   */
  readonly remove: <A>(key: ConfigKey<A>, options: WriteOptions) => Effect.Effect<Entry<A>, ConfigError>
}

/**
 * The configuration of the current tenant. Each member is also a static one, so that `yield* Config.get(key)` works.
 *
 * **Example** (A limit that operators change while the service runs)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Config, withTenant } from "effect-systemplane"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const handler = Effect.gen(function*() {
 *   const limit = yield* Config.get(RequestsPerMinute)
 *   return limit
 * }).pipe(withTenant("acme"))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Config extends Context.Service<Config, ConfigShape>()("effect-systemplane/services/Config") {
  /** See {@link ConfigShape.get}. */
  static readonly get: {
    <A>(key: ConfigKey<A>): Effect.Effect<A, ConfigError, Config>
    (namespace: string, key: string): Effect.Effect<Schema.Json, ConfigError, Config>
  } = (first: any, key?: any): Effect.Effect<any, ConfigError, Config> =>
    key === undefined ? readOf(first) : Config.use((config) => config.get(first, key))

  /** See {@link ConfigShape.getOrDefault}. */
  static readonly getOrDefault = <A>(key: ConfigKey<A>) => Config.use((config) => config.getOrDefault(key))

  /** See {@link ConfigShape.entry}. */
  static readonly entry = <A>(key: ConfigKey<A>) => Config.use((config) => config.entry(key))

  /** See {@link ConfigShape.snapshot}. */
  static readonly snapshot: Effect.Effect<ConfigSnapshot, ConfigError, Config> = Effect.suspend(() =>
    Config.use((config) => config.snapshot)
  )

  /** See {@link ConfigShape.handle}. */
  static readonly handle = <A>(key: ConfigKey<A>) => Config.use((config) => config.handle(key))

  /** See {@link ConfigShape.getGroup}. */
  static readonly getGroup = <F extends ConfigKeyGroup.Fields>(group: ConfigKeyGroup<F>) =>
    Config.use((config) => config.getGroup(group))

  /** See {@link ConfigShape.list}. */
  static readonly list = (namespace: string) => Config.use((config) => config.list(namespace))

  /** See {@link ConfigShape.watch}. */
  static readonly watch = <A>(key: ConfigKey<A>): Stream.Stream<Entry<A>, ConfigError, Config> =>
    Stream.unwrap(Effect.map(Config, (config) => config.watch(key)))

  /** See {@link ConfigShape.changes}. */
  static readonly changes = <A>(key: ConfigKey<A>): Stream.Stream<Change<A>, never, Config> =>
    Stream.unwrap(Effect.map(Config, (config) => config.changes(key)))

  /** See {@link ConfigShape.onChange}. */
  static readonly onChange = <A, E, R>(key: ConfigKey<A>, handler: (change: Change<A>) => Effect.Effect<void, E, R>) =>
    Config.use((config) => config.onChange(key, handler))

  /** See {@link ConfigShape.set}. */
  static readonly set = <A>(key: ConfigKey<A>, value: NoInfer<A>, options: WriteOptions) =>
    Config.use((config) => config.set(key, value, options))

  /** See {@link ConfigShape.setAll}. */
  static readonly setAll = (assignments: ReadonlyArray<Assignment.Any>, options: WriteAllOptions) =>
    Config.use((config) => config.setAll(assignments, options))

  /** See {@link ConfigShape.remove}. */
  static readonly remove = <A>(key: ConfigKey<A>, options: WriteOptions) =>
    Config.use((config) => config.remove(key, options))
}

/** Reads this key from the `Config` in the context; made when the key is first read, and kept with it. */
const readOf = <A>(key: ConfigKey<A>): CachedRead.CachedRead<A, ConfigError, Config> => {
  const hints = KeyHints.of(key)
  const known = hints?.read
  if (known instanceof CachedRead.CachedRead && known.key === key) return known
  const read = new CachedRead.CachedRead(
    key,
    views,
    Config.use((config) => CachedRead.afterLook(config, config.get(key)))
  )
  if (hints !== undefined) hints.read = read
  return read
}

const views = new CachedRead.LastContext((fiber) => CachedRead.find(Context.getUnsafe(fiber.context, Config), fiber))
