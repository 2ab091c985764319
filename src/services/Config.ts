/**
 * What applications use: typed reads, writes and subscriptions.
 *
 * | to read | freshness | cost | fails |
 * | --- | --- | --- | --- |
 * | `get` | current; the database is asked if memory may be old | no I/O while the tenant is live | if the database must answer and does not |
 * | `getOrDefault` | as `get`, else the last known value, else the default | as `get` | never (no tenant is a defect) |
 * | `entry` | as `get`, and says how fresh it is | as `get`, and one object | as `get` |
 * | `snapshot` | as `get`, of all keys at one moment; does not follow | one for all reads of a request; `snapshot.get` is a few field loads | as `get` |
 * | `handle` | what this process last knew; follows, `handle.entry` says if it is stale | a few field loads; never I/O | when it is made, as `get` |
 * | `watch` | the entry now, then each newer one; skips to the newest | one subscription of one tenant | for the first entry, as `get` |
 * | `changes`, `onChange` | each change of every tenant; skips to the newest | one subscription for all tenants | never |
 *
 * Every member that takes a key takes its names too, and then works with the JSON of its values: for tools.
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
import type { WriteAllOptions, WriteOptions } from "../schema/WriteRequest.ts"
import type { ConfigHandle } from "./ConfigHandle.ts"
import * as CachedRead from "./internal/CachedRead.ts"

/**
 * The members of {@link Config}. Those of the service need nothing (`R` is `never`); the static ones of the class need
 * the service.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigShape<out R = never> {
  /**
   * The value in force for the current tenant. Without I/O while the tenant is live, from its database otherwise: then
   * it ends within 5 seconds. Fails with `TenantMissing`, `UnknownTenant`, `UnknownKey`, or `Unavailable`, which
   * carries the last known entry.
   */
  readonly get: {
    (namespace: string, key: string): Effect.Effect<Schema.Json, ConfigError, R>
    <K extends ConfigKey.Any>(key: K): Effect.Effect<ConfigKey.Value<K>, ConfigError, R>
  }
  /**
   * As `get`, but never fails if the database does not answer: the last known value, else the default. A key that is
   * not in `keys` has its default, so add it there. No tenant, a tenant that does not exist and a name that is not
   * declared are defects, with the text of `get`'s error.
   */
  readonly getOrDefault: {
    (namespace: string, key: string): Effect.Effect<Schema.Json, never, R>
    <K extends ConfigKey.Any>(key: K): Effect.Effect<ConfigKey.Value<K>, never, R>
  }
  /** The value in force with its revision, source and freshness. Fails as `get` does. */
  readonly entry: {
    (namespace: string, key: string): Effect.Effect<Entry<Schema.Json>, ConfigError, R>
    <K extends ConfigKey.Any>(key: K): Effect.Effect<Entry<ConfigKey.Value<K>>, ConfigError, R>
  }
  /**
   * All keys of the current tenant at one moment, to read many in one request: keys written in one transaction are all
   * old in it, or all new. Without I/O while the tenant is live; one statement otherwise, which may take 5 ms more for
   * each declared key. Fails as `get` does.
   */
  readonly snapshot: Effect.Effect<ConfigSnapshot, ConfigError, R>
  /**
   * The current tenant's live handle of a key, for hot paths: `handle.current` is a synchronous read, and follows the
   * tenant through suspension, removal and re-activation. Fails as `get` does if nothing is known of the key yet, with
   * `NotSupported` for a key beyond `maxEntriesPerTenant`, and with `Closed` after a drain.
   */
  readonly handle: {
    (namespace: string, key: string): Effect.Effect<ConfigHandle<Schema.Json>, ConfigError, R>
    <K extends ConfigKey.Any>(key: K): Effect.Effect<ConfigHandle<ConfigKey.Value<K>>, ConfigError, R>
  }
  /**
   * The values of a group of keys as one record, from one snapshot. Fails as `snapshot` does, and with `UnknownKey`.
   */
  readonly getGroup: <F extends ConfigKeyGroup.Fields>(
    group: ConfigKeyGroup<F>
  ) => Effect.Effect<ConfigKeyGroup.Values<F>, ConfigError, R>
  /**
   * The declared keys of a namespace with their entries, in the order of declaration. Fails as `get` does; with
   * `UnknownKey` if no key of the namespace is declared.
   */
  readonly list: (namespace: string) => Effect.Effect<ReadonlyArray<NamedEntry>, ConfigError, R>
  /**
   * The current tenant's entry as it is now, then each newer one. A slow reader skips to the newest. Outlives
   * suspension, removal and re-activation of the tenant. Fails as `handle` does, for the first entry, and with `Closed`
   * once the layer closes.
   */
  readonly watch: {
    (namespace: string, key: string): Stream.Stream<Entry<Schema.Json>, ConfigError, R>
    <K extends ConfigKey.Any>(key: K): Stream.Stream<Entry<ConfigKey.Value<K>>, ConfigError, R>
  }
  /**
   * The changes of a key for every tenant that is neither suspended nor removed: first each tenant whose loaded value
   * is not the default, then each change, from when the stream runs. A slow reader skips to the newest of each tenant.
   * Ends once the layer closes. A key that is not declared is a defect, as is a plane that follows nothing
   * (`SystemplaneReadThrough`).
   */
  readonly changes: {
    (namespace: string, key: string): Stream.Stream<Change<Schema.Json>, never, R>
    <K extends ConfigKey.Any>(key: K): Stream.Stream<Change<ConfigKey.Value<K>>, never, R>
  }
  /**
   * Runs a handler on each of the `changes`, for as long as the scope lives. Subscribed when the effect returns. The
   * handler runs with `CurrentTenant` set to the tenant that changed, for one change of a tenant at a time and for
   * different tenants at once; if it hangs, only its own tenant's next change waits. What it fails or dies with is
   * logged, text and all: keep secrets out of its errors. A defect if `changes` is one.
   */
  readonly onChange: {
    <E, R2>(
      namespace: string,
      key: string,
      handler: (change: Change<Schema.Json>) => Effect.Effect<void, E, R2>
    ): Effect.Effect<void, never, R | R2 | Scope.Scope>
    <K extends ConfigKey.Any, E, R2>(
      key: K,
      handler: (change: Change<ConfigKey.Value<K>>) => Effect.Effect<void, E, R2>
    ): Effect.Effect<void, never, R | R2 | Scope.Scope>
  }
  /**
   * Writes a value for the current tenant, and returns the entry as stored.
   *
   * **Details**
   *
   * Every read in this process that begins after it returns sees this value or a newer one.
   *
   * A write has a definite outcome: it landed or it did not. If an answer is lost, the write is sent again under its
   * change id, which takes effect once, until it is answered. The usual write takes one round trip. One that the
   * database does not answer ends within 15 seconds, and within 20 if the database falls silent after it; `setAll` may
   * take longer, in proportion to its rows and bytes. Interrupting the caller (`Effect.timeout`) ends the waiting at
   * once, and the write goes on to its end: write the same again with the same `changeId` to learn what became of it.
   *
   * Fails with `InvalidValue`, `InvalidActor` or `InvalidChange` (the reason or the change id), before anything is sent
   * if the plane can tell; with `RevisionConflict`; with `ChangeIdReused` if the id belongs to other writes; with
   * `Closed` after the layer closed; and with `Unavailable` if nothing was written: the database cannot be reached, a
   * constraint or a trigger of the database refuses or skips the row, or another transaction holds it for longer than 2
   * seconds (or `lock_timeout`, if the role sets one). Fails with `WriteOutcomeUnknown` only if no copy of the write
   * was answered, or if the answer was lost and the database keeps no history that could tell; such a write may still
   * land later.
   */
  readonly set: {
    (
      namespace: string,
      key: string,
      value: Schema.Json,
      options: WriteOptions
    ): Effect.Effect<Entry<Schema.Json>, ConfigError, R>
    <K extends ConfigKey.Any>(
      key: K,
      value: ConfigKey.Value<K>,
      options: WriteOptions
    ): Effect.Effect<Entry<ConfigKey.Value<K>>, ConfigError, R>
  }
  /**
   * Writes several values for the current tenant in one transaction: visible together, all of them or none. Returns the
   * entries in the order given.
   *
   * Everything is checked before anything is written: `InvalidValue` names every value that is refused. An assignment
   * may carry an `ifRevision` of its own. A key may be named once. Fails as `set` does.
   */
  readonly setAll: (
    assignments: ReadonlyArray<Assignment.Any>,
    options: WriteAllOptions
  ) => Effect.Effect<ReadonlyArray<Entry<unknown>>, ConfigError, R>
  /** Deletes the current tenant's row: the default is in force again, at revision 0. Fails as `set` does. */
  readonly remove: {
    (namespace: string, key: string, options: WriteOptions): Effect.Effect<Entry<Schema.Json>, ConfigError, R>
    <K extends ConfigKey.Any>(key: K, options: WriteOptions): Effect.Effect<Entry<ConfigKey.Value<K>>, ConfigError, R>
  }
}

type Members = ConfigShape<Config>

/** Calls a member of the service in the context. */
const run =
  (member: keyof ConfigShape) =>
  (...args: ReadonlyArray<unknown>): any =>
    Config.use((config) => (config[member] as any)(...args))

/** {@link run} for a member that returns a stream. */
const stream =
  (member: keyof ConfigShape) =>
  (...args: ReadonlyArray<unknown>): any =>
    Stream.unwrap(Effect.map(Config, (config) => (config[member] as any)(...args)))

/**
 * The configuration of the current tenant. Each member is also a static one, so that `yield* Config.get(key)` works.
 *
 * **Example** (A limit that operators change while the service runs)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Config, ConfigKey, withTenant } from "effect-systemplane"
 * import { SystemplaneMemory } from "effect-systemplane/testing"
 *
 * const Limit = ConfigKey.make("rate-limits", "requests-per-minute", { schema: Schema.Int, defaultValue: 600 })
 * const Burst = ConfigKey.make("rate-limits", "burst", { schema: Schema.Int, defaultValue: 20 })
 *
 * // SystemplaneLive in an application.
 * const Plane = SystemplaneMemory({ keys: [Limit, Burst], tenants: ["acme"] })
 *
 * const program = Effect.gen(function* () {
 *   // Each tenant's limiter follows its value, also what the tenant had stored before this process began.
 *   yield* Config.onChange(Limit, ({ previous, tenant, value }) => Effect.log(`${tenant}: ${previous} -> ${value}`))
 *
 *   yield* Config.set(Limit, 1200, { actor: "ada" })
 *   const limit = yield* Config.get(Limit)
 *   const burst = yield* Config.getOrDefault(Burst)
 *   console.log(limit, burst) // 1200 20
 *
 *   // Many keys of one moment: synchronous reads.
 *   const snapshot = yield* Config.snapshot
 *   console.log(snapshot.get(Limit) / snapshot.get(Burst)) // 60
 *
 *   // How fresh is it, and where does it come from?
 *   const { revision, source, stale } = yield* Config.entry(Limit)
 *   console.log(source, stale) // stored false
 *
 *   // Only over the revision that was read.
 *   yield* Config.set(Limit, limit * 2, { actor: "ada", ifRevision: revision }).pipe(
 *     Effect.catchReason("ConfigError", "RevisionConflict", ({ actual }) =>
 *       Effect.log(`another writer wrote revision ${actual} meanwhile`)
 *     )
 *   )
 *   yield* Config.setAll([ConfigKey.value(Limit, 900), ConfigKey.value(Burst, 40)], { actor: "ada" })
 *   yield* Config.watch(Burst).pipe(Stream.filter(({ value }) => value >= 40), Stream.runHead) // returns at once
 *   yield* Config.remove(Burst, { actor: "ada" }) // the default again
 *
 *   // For tools: by names, as JSON.
 *   console.log(yield* Config.get("rate-limits", "burst")) // 20
 * }).pipe(Effect.scoped)
 *
 * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Config extends Context.Service<Config, ConfigShape>()("effect-systemplane/services/Config") {
  /** See {@link ConfigShape.get}. */
  static readonly get: Members["get"] = (first: any, key?: any): Effect.Effect<any, ConfigError, Config> =>
    typeof first === "string" ? Config.use((config) => config.get(first, key)) : readOf(first)

  /** See {@link ConfigShape.getOrDefault}. */
  static readonly getOrDefault: Members["getOrDefault"] = run("getOrDefault")

  /** See {@link ConfigShape.entry}. */
  static readonly entry: Members["entry"] = run("entry")

  /** See {@link ConfigShape.snapshot}. */
  static readonly snapshot: Members["snapshot"] = Effect.suspend(() => Config.use((config) => config.snapshot))

  /** See {@link ConfigShape.handle}. */
  static readonly handle: Members["handle"] = run("handle")

  /** See {@link ConfigShape.getGroup}. */
  static readonly getGroup: Members["getGroup"] = run("getGroup")

  /** See {@link ConfigShape.list}. */
  static readonly list: Members["list"] = run("list")

  /** See {@link ConfigShape.watch}. */
  static readonly watch: Members["watch"] = stream("watch")

  /** See {@link ConfigShape.changes}. */
  static readonly changes: Members["changes"] = stream("changes")

  /** See {@link ConfigShape.onChange}. */
  static readonly onChange: Members["onChange"] = run("onChange")

  /** See {@link ConfigShape.set}. */
  static readonly set: Members["set"] = run("set")

  /** See {@link ConfigShape.setAll}. */
  static readonly setAll: Members["setAll"] = run("setAll")

  /** See {@link ConfigShape.remove}. */
  static readonly remove: Members["remove"] = run("remove")
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

const views = CachedRead.makeLasting((fiber) => CachedRead.find(Context.getUnsafe(fiber.context, Config), fiber))
