/**
 * `Config` directly over the store, for processes that live briefly: every read is one statement, and nothing is kept.
 * Every tenant's database is prepared before this process first uses it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { ConfigError, NotSupported } from "../../schema/ConfigError.ts"
import type { ConfigKey, ConfigKeyGroup } from "../../schema/ConfigKey.ts"
import * as ConfigReasons from "../../schema/ConfigReasons.ts"
import { type ConfigSnapshot, readGroup } from "../../schema/ConfigSnapshot.ts"
import type { Entry, NamedEntry } from "../../schema/Entry.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as ReaderOwned from "../../schema/ReaderOwned.ts"
import type * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type * as WriteRequest from "../../schema/WriteRequest.ts"
import { Config } from "../../services/Config.ts"
import { currentTenant } from "../../services/CurrentTenant.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { Lifetime } from "../runtime/Lifetime.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { failWith, namesNoTenant, unknownKey, unknownNamespace } from "../store/ConfigFailure.ts"
import * as DatabasePreparation from "../store/DatabasePreparation.ts"
import { entryOf } from "../store/Entries.ts"
import * as LastValid from "../store/LastValid.ts"
import * as RejectedRows from "../store/RejectedRows.ts"
import * as WriteOutcome from "../store/WriteOutcome.ts"
import * as WritesUnderWay from "../store/WritesUnderWay.ts"
import * as ApplicationCode from "../telemetry/ApplicationCode.ts"
import * as ByName from "./ByName.ts"
import * as Writes from "./Writes.ts"

export interface ReadThroughConfigOptions extends DatabasePreparation.DatabasePreparationOptions {
  /** The tenant of a fiber for which none is set. */
  readonly sole: Option.Option<TenantId>
}

type Keys = ReadonlyArray<ConfigKey.Any>

const make = Effect.fnUntraced(function* (options: ReadThroughConfigOptions) {
  const current = currentTenant(Option.getOrUndefined(options.sole))
  const clock = yield* Clock.Clock
  const store = yield* EntryStore
  const registry = yield* KeyRegistry
  const lifetime = yield* Lifetime
  const outcome = yield* WriteOutcome.make
  const underWay = yield* WritesUnderWay.make
  const prepare = yield* DatabasePreparation.make(options)
  const lastValid = yield* LastValid.make
  const report = RejectedRows.makeReport()
  const enter = yield* ApplicationCode.entrance

  /** Uses declared keys of the current tenant, whose database is ready. */
  const using = <A>(
    keys: Keys,
    use: (tenant: TenantId) => Effect.Effect<A, ConfigError>
  ): Effect.Effect<A, ConfigError> =>
    Effect.flatMap(current, (tenant) => {
      const undeclared = keys.find((key) => registry.slotOf(key) === undefined)
      if (undeclared !== undefined) return failWith(unknownKey(undeclared))
      return prepare(tenant).pipe(
        Effect.catch((error) => failWith(ConfigReasons.ofPreparation(error))),
        Effect.andThen(use(tenant))
      )
    })

  const reading = <A>(keys: Keys, read: (tenant: TenantId) => Effect.Effect<A, ConfigError>) =>
    enter(lifetime.orClosed(using(keys, read)))

  /**
   * What some rows say about their keys, as of when they were asked for. A row that does not decode is reported, and
   * the last value that does is in force.
   */
  const learned = <E>(
    tenant: TenantId,
    keys: Keys,
    rows: Effect.Effect<ReadonlyArray<Snapshot.RowDiff>, E>
  ): Effect.Effect<Snapshot.State, E> =>
    Effect.flatMap(MonotonicClock.millis, (time) =>
      Effect.flatMap(rows, (rows) =>
        Effect.flatMap(lastValid.ofRead(tenant, keys, rows, time), (read) =>
          Effect.as(report(tenant, keys, read), read.state)
        )
      )
    )

  /** Some keys as they are at one moment, in one statement. */
  const read = (keys: Keys): Effect.Effect<ConfigSnapshot, ConfigError> =>
    reading(keys, (tenant) =>
      learned(
        tenant,
        keys,
        keys.length === 1 ? readOne(tenant, keys[0]!) : store.diff(tenant)(keys, unknown(keys))
      ).pipe(
        Effect.catch((error) => failWith(ConfigReasons.ofRead(error))),
        Effect.map((state) => snapshotOf(tenant, keys, state, clock))
      )
    )

  const readOne = (
    tenant: TenantId,
    key: ConfigKey.Any
  ): Effect.Effect<ReadonlyArray<Snapshot.RowDiff>, EntryStoreError> =>
    Effect.map(store.read(tenant, key), (row) => [{ slot: 0, row: Option.getOrUndefined(row) }])

  const get = <A>(key: ConfigKey<A>): Effect.Effect<A, ConfigError> =>
    Effect.map(read([key]), (snapshot) => snapshot.get(key))

  const list = (namespace: string): Effect.Effect<ReadonlyArray<NamedEntry>, ConfigError> => {
    const keys = registry.inNamespace(namespace)
    if (keys.length === 0) return failWith(unknownNamespace(namespace))
    return Effect.map(read(keys), (snapshot) =>
      keys.map((key) => ({ namespace, key: key.key, ...snapshot.entry(key) }) as NamedEntry)
    )
  }

  const getGroup = <F extends ConfigKeyGroup.Fields>(group: ConfigKeyGroup<F>) =>
    Effect.flatMap(read(Object.values(group.keys)), (snapshot) => Effect.fromResult(readGroup(snapshot, group)))

  /** Writes, and returns the entries of the rows. */
  const write = (request: Result.Result<WriteRequest.WriteRequest, ConfigError>) =>
    Effect.flatMap(Effect.fromResult(request), (request): Effect.Effect<ReadonlyArray<Entry<any>>, ConfigError> => {
      if (request.writes.length === 0) return Effect.succeed([])
      const keys = request.writes.map(({ key }) => key)
      return using(keys, (tenant) =>
        underWay.run(
          learned(
            tenant,
            keys,
            Effect.map(outcome.write(tenant, request), ({ written }) => written.map(({ row }, slot) => ({ slot, row })))
          ).pipe(
            Effect.catch((error) => failWith(ConfigReasons.ofWrite(error, request))),
            Effect.map((state) => keys.map((_, slot) => entryOf(state, slot, false, clock)))
          ),
          () => new ConfigError({ reason: ConfigReasons.unknownOutcome(tenant, request) })
        )
      )
    })

  const { remove, set, setAll } = Writes.make(registry, enter, write)

  return Config.of({
    ...ByName.make(registry, {
      get,
      getOrDefault: (key) =>
        Effect.catch(get(key), (error) =>
          namesNoTenant(error) ? Effect.die(error) : Effect.succeed(key.defaultValue)
        ),
      entry: (key) => Effect.map(read([key]), (snapshot) => snapshot.entry(key)),
      handle: () => failWith(notSupported("handle")),
      watch: () => Stream.fromEffect(failWith(notSupported("watch"))),
      changes: () => Stream.die(new ConfigError({ reason: notSupported("changes") })),
      onChange: () => Effect.die(new ConfigError({ reason: notSupported("onChange") })),
      set,
      remove
    }),
    snapshot: read(registry.keys),
    getGroup,
    list,
    setAll
  })
})

export const layer = (options: ReadThroughConfigOptions) => Layer.effect(Config, make(options))

const snapshotOf = (tenant: TenantId, keys: Keys, state: Snapshot.State, clock: Clock.Clock): ConfigSnapshot => {
  const slots = new Map(keys.map((key, slot) => [key, slot]))
  const held = (key: ConfigKey.Any): number => {
    const slot = slots.get(key)
    if (slot === undefined) throw new ConfigError({ reason: unknownKey(key) })
    return slot
  }
  return {
    tenant,
    get: (key) => ReaderOwned.handOut(state.slots[held(key)]!.value),
    entry: (key) => entryOf(state, held(key), false, clock) as Entry<any>
  }
}

/** No row of these keys is known: every row there is comes back. */
const unknown = (keys: Keys) => keys.map(() => undefined)

const notSupported = (member: "handle" | "watch" | "changes" | "onChange") =>
  new NotSupported({
    problem: `Config.${member} follows the database, and SystemplaneReadThrough follows none; use SystemplaneLive`
  })
