/**
 * `Config` over the cache: finds the tenant of the fiber and the key, tells the manager that the tenant is wanted, and
 * leaves the rest to `TenantCache`.
 *
 * `get` has a path of its own (CachedRead): a value that is in memory is read without asking the manager. The other
 * reads run through `reading`, which asks it, and which fails with `Closed` once the layer closes. Members by names
 * instead of a key are made from those by a key (ByName). What callers give to a write is checked in Writes.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Closed, type ConfigError } from "../../schema/ConfigError.ts"
import type { ConfigKey, ConfigKeyGroup } from "../../schema/ConfigKey.ts"
import { readGroup } from "../../schema/ConfigSnapshot.ts"
import type { Change, Entry, NamedEntry } from "../../schema/Entry.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type * as WriteRequest from "../../schema/WriteRequest.ts"
import { Config } from "../../services/Config.ts"
import type { ConfigHandle } from "../../services/ConfigHandle.ts"
import { currentTenant, tenantOf } from "../../services/CurrentTenant.ts"
import { CachedRead, LastContext, register, unregister } from "../../services/internal/CachedRead.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { TenantCache } from "../../services/TenantCache.ts"
import { TenantManager } from "../../services/TenantManager.ts"
import { Lifetime } from "../runtime/Lifetime.ts"
import { failWith, namesNoTenant, unknownKey, unknownNamespace } from "../store/ConfigFailure.ts"
import * as ApplicationCode from "../telemetry/ApplicationCode.ts"
import * as ByName from "./ByName.ts"
import * as ChangeHandlers from "./ChangeHandlers.ts"
import * as Writes from "./Writes.ts"

export interface CachedConfigOptions {
  /** The tenant of a fiber for which none is set. */
  readonly sole: Option.Option<TenantId>
}

const make = Effect.fnUntraced(function* (options: CachedConfigOptions) {
  const lifetime = yield* Lifetime
  // Before anything below it closes: reads fail from then on, and writes that are under way come to their end.
  yield* Effect.addFinalizer(() => lifetime.close)
  const cache = yield* TenantCache
  const manager = yield* TenantManager
  const registry = yield* KeyRegistry
  const sole = Option.getOrUndefined(options.sole)
  const current = currentTenant(sole)
  const enter = yield* ApplicationCode.entrance

  /** The current tenant, which the span of the write names. */
  const writtenTenant = Effect.tap(current, (tenant) => Effect.annotateCurrentSpan("tenant", tenant))

  /** Runs a read of the current tenant, having told the manager that the tenant is wanted. */
  const reading = <A>(read: (tenant: TenantId) => Effect.Effect<A, ConfigError>): Effect.Effect<A, ConfigError> =>
    enter(lifetime.orClosed(Effect.flatMap(current, (tenant) => Effect.andThen(manager.demand(tenant), read(tenant)))))

  const viewOf = (fiber: Fiber.Fiber<unknown, unknown>) => {
    const tenant = tenantOf(fiber, sole)
    return tenant === undefined ? undefined : cache.view(tenant)
  }

  // The hot path: what reads a key is made once, and looks into memory without a generator, a span or an allocation.
  const views = new LastContext(viewOf)
  const reads: Array<CachedRead<any, ConfigError> | undefined> = registry.keys.map(() => undefined)

  const readOf = <A>(key: ConfigKey<A>, slot: number): CachedRead<A, ConfigError> => {
    const known = reads[slot]
    if (known !== undefined) return known
    const read = new CachedRead(
      key,
      views,
      reading((tenant) => cache.get(tenant, key))
    )
    reads[slot] = read
    return read
  }

  const get = <A>(key: ConfigKey<A>): Effect.Effect<A, ConfigError> => {
    const slot = registry.slotOf(key)
    return slot === undefined ? failWith(unknownKey(key)) : readOf(key, slot)
  }

  const getOrDefault = <A>(key: ConfigKey<A>): Effect.Effect<A> =>
    Effect.catch(get(key), (error) =>
      namesNoTenant(error)
        ? Effect.die(error)
        : Effect.map(Effect.orDie(current), (tenant) => cache.lastKnown(tenant, key)?.value ?? key.defaultValue)
    )

  const snapshot = reading((tenant) => cache.snapshot(tenant))

  const list = (namespace: string): Effect.Effect<ReadonlyArray<NamedEntry>, ConfigError> => {
    const keys = registry.inNamespace(namespace)
    if (keys.length === 0) return failWith(unknownNamespace(namespace))
    return reading((tenant) =>
      Effect.map(cache.entries(tenant, keys), (entries) =>
        entries.map((entry, i) => ({ namespace, key: keys[i]!.key, ...entry }))
      )
    )
  }

  const handle = <A>(key: ConfigKey<A>): Effect.Effect<ConfigHandle<A>, ConfigError> =>
    Effect.flatMap(manager.isClosed, (closed) =>
      closed ? failWith(new Closed()) : reading((tenant) => cache.handle(tenant, key))
    )

  const watch = <A>(key: ConfigKey<A>): Stream.Stream<Entry<A>, ConfigError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        if (yield* manager.isClosed) return yield* failWith(new Closed())
        return yield* reading((tenant) => Effect.succeed(cache.watch(tenant, key)))
      })
    ).pipe(Stream.interruptWhen(lifetime.closed))

  const changes = <A>(key: ConfigKey<A>): Stream.Stream<Change<A>> =>
    Stream.unwrap(
      Effect.map(enter(cache.subscribe(key)), (take) => Stream.flattenIterable(Stream.fromEffectRepeat(take)))
    ).pipe(Stream.interruptWhen(Effect.ignore(lifetime.closed)))

  const onChange = <A, E, R>(
    key: ConfigKey<A>,
    handler: (change: Change<A>) => Effect.Effect<void, E, R>
  ): Effect.Effect<void, never, R | Scope.Scope> =>
    Effect.flatMap(enter(cache.subscribe(key)), (take) => ChangeHandlers.run(take, handler, enter))

  const write = (request: Result.Result<WriteRequest.WriteRequest, ConfigError>) =>
    Effect.flatMap(writtenTenant, (tenant) =>
      Effect.flatMap(Effect.fromResult(request), (request) =>
        request.writes.length === 0 ? Effect.succeed([]) : cache.write(tenant, request)
      )
    )

  const { remove, set, setAll } = Writes.make(registry, enter, write)

  const getGroup = <F extends ConfigKeyGroup.Fields>(
    group: ConfigKeyGroup<F>
  ): Effect.Effect<ConfigKeyGroup.Values<F>, ConfigError> =>
    Effect.flatMap(snapshot, (snapshot) => Effect.fromResult(readGroup(snapshot, group)))

  const config = Config.of({
    ...ByName.make(registry, {
      get,
      getOrDefault,
      entry: (key) => reading((tenant) => cache.entry(tenant, key)),
      handle,
      watch,
      changes,
      onChange,
      set,
      remove
    }),
    snapshot,
    getGroup,
    list,
    setAll
  })
  register(config, viewOf)
  yield* Effect.addFinalizer(() => Effect.sync(() => unregister(config)))
  return config
})

export const layer = (options: CachedConfigOptions) => Layer.effect(Config, make(options))
