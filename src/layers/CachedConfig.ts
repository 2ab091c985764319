/**
 * `Config` over the cache: finds the tenant and the key, and encodes what is written.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  Closed,
  ConfigError,
  type ConfigErrorReason,
  InvalidValue,
  TenantMissing,
  UnknownKey
} from "../schema/ConfigError.ts"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import type { Change, Entry, NamedEntry } from "../schema/Entry.ts"
import * as JsonText from "../schema/JsonText.ts"
import type { TenantId } from "../schema/TenantId.ts"
import { Config, type WriteOptions } from "../services/Config.ts"
import { CurrentTenant } from "../services/CurrentTenant.ts"
import { KeyRegistry } from "../services/KeyRegistry.ts"
import { TenantCache } from "../services/TenantCache.ts"
import { TenantManager } from "../services/TenantManager.ts"

export interface CachedConfigOptions {
  /** The tenant where none is set. */
  readonly sole: Option.Option<TenantId>
}

const make = Effect.fnUntraced(function* (options: CachedConfigOptions) {
  const cache = yield* TenantCache
  const manager = yield* TenantManager
  const registry = yield* KeyRegistry
  const sole = Option.getOrUndefined(options.sole)

  const tenantOf = (fiber: Fiber.Fiber<unknown, unknown>): TenantId | undefined =>
    Option.getOrElse(fiber.getRef(CurrentTenant), () => sole)

  const currentTenant: Effect.Effect<TenantId, ConfigError> = Effect.withFiber((fiber) => {
    const tenant = tenantOf(fiber)
    return tenant === undefined ? tenantMissing : Effect.succeed(tenant)
  })

  /** Runs a read of the current tenant, having told the manager that the tenant is wanted. */
  const reading = <A>(read: (tenant: TenantId) => Effect.Effect<A, ConfigError>): Effect.Effect<A, ConfigError> =>
    Effect.flatMap(currentTenant, (tenant) => Effect.andThen(manager.demand(tenant), read(tenant)))

  // The hot path: no generator, no span, no allocation where the snapshot answers.
  const get = <A>(key: ConfigKey<A>): Effect.Effect<A, ConfigError> =>
    Effect.withFiber((fiber) => {
      const tenant = tenantOf(fiber)
      if (tenant === undefined) return tenantMissing
      return cache.peek(tenant, key) ?? Effect.andThen(manager.demand(tenant), cache.get(tenant, key))
    })

  const getJson = (namespace: string, name: string): Effect.Effect<Schema.Json, ConfigError> => {
    const key = registry.find(namespace, name)
    return key === undefined
      ? failWith(new UnknownKey({ namespace, key: name }))
      : Effect.flatMap(get(key), (value) => Effect.fromResult(encode(key, value)))
  }

  const getOrDefault = <A>(key: ConfigKey<A>): Effect.Effect<A> =>
    Effect.catch(get(key), () =>
      Effect.map(Effect.option(currentTenant), (tenant) => {
        const known = Option.isSome(tenant) ? cache.lastKnown(tenant.value, key) : undefined
        return known === undefined ? key.defaultValue : known.value
      })
    )

  const list = (namespace: string): Effect.Effect<ReadonlyArray<NamedEntry>, ConfigError> =>
    reading((tenant) =>
      Effect.forEach(
        registry.inNamespace(namespace),
        (key) => Effect.map(cache.entry(tenant, key), (entry) => ({ namespace, key: key.key, ...entry })),
        { concurrency: "unbounded" }
      )
    )

  const watch = <A>(key: ConfigKey<A>): Stream.Stream<Entry<A>, ConfigError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        if (yield* manager.isClosed) return yield* failWith(new Closed())
        return yield* reading((tenant) => Effect.succeed(cache.watch(tenant, key)))
      })
    )

  const changes = <A>(key: ConfigKey<A>): Stream.Stream<Change<A>> =>
    Stream.unwrap(Effect.map(cache.subscribe(key), (take) => Stream.flattenIterable(Stream.fromEffectRepeat(take))))

  // One worker per tenant with a change to handle: a handler that hangs holds up its own tenant only. A worker that finds
  // nothing more to do marks itself idle in the same step, so that no change is left behind.
  const onChange = Effect.fnUntraced(function* <A, E, R>(
    key: ConfigKey<A>,
    handler: (change: Change<A>) => Effect.Effect<void, E, R>
  ) {
    const take = yield* cache.subscribe(key)
    const workers = yield* FiberSet.make()
    const waiting = new Map<TenantId, Change<A>>()
    const busy = new Set<TenantId>()

    const handle = (change: Change<A>) =>
      Effect.suspend(() => handler(change)).pipe(
        Effect.provideService(CurrentTenant, Option.some(change.tenant)),
        Effect.catchCause((cause) =>
          Effect.logError("A change handler failed", cause).pipe(
            Effect.annotateLogs({ tenant: change.tenant, key: `${change.namespace}/${change.key}` })
          )
        )
      )

    const work = (tenant: TenantId) =>
      Effect.gen(function* () {
        for (let change = waiting.get(tenant); change !== undefined; change = waiting.get(tenant)) {
          waiting.delete(tenant)
          yield* handle(change)
        }
        busy.delete(tenant)
      })

    const dispatch = (change: Change<A>) => {
      const skipped = waiting.get(change.tenant)
      waiting.set(change.tenant, skipped === undefined ? change : { ...change, previous: skipped.previous })
      if (busy.has(change.tenant)) return Effect.void
      busy.add(change.tenant)
      return FiberSet.run(workers, work(change.tenant))
    }

    yield* Effect.forkScoped(
      Effect.forever(Effect.flatMap(take, (changes) => Effect.forEach(changes, dispatch, { discard: true })))
    )
  })

  const set = <A>(key: ConfigKey<A>, value: A, { actor }: WriteOptions): Effect.Effect<Entry<A>, ConfigError> =>
    Effect.gen(function* () {
      const tenant = yield* currentTenant
      const json = yield* Effect.fromResult(encodeText(key, value))
      yield* Effect.fromResult(checkActor(key, actor))
      return yield* cache.put(tenant, key, json, actor)
    }).pipe(writeSpan("Config.set", key, actor))

  const remove = <A>(key: ConfigKey<A>, { actor }: WriteOptions): Effect.Effect<Entry<A>, ConfigError> =>
    Effect.gen(function* () {
      const tenant = yield* currentTenant
      yield* Effect.fromResult(checkActor(key, actor))
      return yield* cache.remove(tenant, key)
    }).pipe(writeSpan("Config.remove", key, actor))

  return Config.of({
    get: (first: any, name?: string): Effect.Effect<any, ConfigError> =>
      name === undefined ? get(first) : getJson(first, name),
    getOrDefault,
    entry: (key) => reading((tenant) => cache.entry(tenant, key)),
    list,
    watch,
    changes,
    onChange,
    set,
    remove
  })
})

export const layer = (options: CachedConfigOptions) => Layer.effect(Config, make(options))

const failWith = (reason: ConfigErrorReason) => Effect.fail(new ConfigError({ reason }))

const tenantMissing = failWith(new TenantMissing())

const invalid =
  ({ key, namespace }: ConfigKey.Any) =>
  (problem: string) =>
    new ConfigError({ reason: new InvalidValue({ namespace, key, problem }) })

const encode = <A>(key: ConfigKey<A>, value: A): Result.Result<Schema.Json, ConfigError> =>
  Result.mapError(key.encode(value), invalid(key))

const encodeText = <A>(key: ConfigKey<A>, value: A): Result.Result<string, ConfigError> =>
  Result.flatMap(encode(key, value), (json) =>
    Result.mapError(JsonText.encode(json), (problem) => invalid(key)(key.secret ? "jsonb cannot hold it" : problem))
  )

const checkActor = (key: ConfigKey.Any, actor: string): Result.Result<unknown, ConfigError> =>
  typeof actor === "string" && Result.isSuccess(JsonText.encode(actor))
    ? Result.succeed(actor)
    : Result.fail(invalid(key)("the actor must be well-formed text without U+0000"))

const writeSpan = (name: string, { key, namespace }: ConfigKey.Any, actor: string) =>
  Effect.withSpan(name, { attributes: { namespace, key, actor } })
