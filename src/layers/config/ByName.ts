/**
 * Members of `Config` by the names of a key, for tools: they find the declared key, and translate between its values
 * and their JSON on the way in and out. A name that is not declared fails with `UnknownKey`, or is a defect of a member
 * that cannot fail.
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ConfigError, InvalidValue } from "../../schema/ConfigError.ts"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { Change, Entry } from "../../schema/Entry.ts"
import * as KeyCodec from "../../schema/KeyCodec.ts"
import * as WriteRequest from "../../schema/WriteRequest.ts"
import type { ConfigShape } from "../../services/Config.ts"
import type { ConfigHandle } from "../../services/ConfigHandle.ts"
import type { KeyRegistry } from "../../services/KeyRegistry.ts"
import { unknownKey } from "../store/ConfigFailure.ts"

type Named = "get" | "getOrDefault" | "entry" | "handle" | "watch" | "changes" | "onChange" | "set" | "remove"

/** The members by a key alone. */
export interface ByKey {
  readonly get: (key: ConfigKey.Any) => Effect.Effect<any, ConfigError>
  readonly getOrDefault: (key: ConfigKey.Any) => Effect.Effect<any>
  readonly entry: (key: ConfigKey.Any) => Effect.Effect<Entry<any>, ConfigError>
  readonly handle: (key: ConfigKey.Any) => Effect.Effect<ConfigHandle<any>, ConfigError>
  readonly watch: (key: ConfigKey.Any) => Stream.Stream<Entry<any>, ConfigError>
  readonly changes: (key: ConfigKey.Any) => Stream.Stream<Change<any>>
  readonly onChange: (
    key: ConfigKey.Any,
    handler: (change: Change<any>) => Effect.Effect<void, any, any>
  ) => Effect.Effect<void, never, any>
  readonly set: (
    key: ConfigKey.Any,
    value: any,
    options: WriteRequest.WriteOptions
  ) => Effect.Effect<Entry<any>, ConfigError>
  readonly remove: (key: ConfigKey.Any, options: WriteRequest.WriteOptions) => Effect.Effect<Entry<any>, ConfigError>
}

/** The members by a key or by its names. */
export const make = (registry: KeyRegistry["Service"], byKey: ByKey): Pick<ConfigShape, Named> => {
  const find = (namespace: string, name: string): Effect.Effect<ConfigKey.Any, ConfigError> =>
    Effect.suspend(() => {
      const key = registry.find(namespace, name)
      return key === undefined
        ? Effect.fail(new ConfigError({ reason: unknownKey({ namespace, key: name }) }))
        : Effect.succeed(key)
    })

  const encode = (key: ConfigKey.Any, value: unknown): Effect.Effect<Schema.Json, ConfigError> =>
    Effect.fromResult(WriteRequest.encode(key, value))

  const encodeValue = <A extends { readonly value: any }>(
    key: ConfigKey.Any,
    found: A
  ): Effect.Effect<A, ConfigError> => Effect.map(encode(key, found.value), (value) => ({ ...found, value }))

  const encodeChange = (key: ConfigKey.Any, change: Change<any>): Effect.Effect<Change<any>, ConfigError> =>
    Effect.zipWith(encode(key, change.value), encode(key, change.previous), (value, previous) => ({
      ...change,
      value,
      previous
    }))

  const entryBy = (found: (key: ConfigKey.Any) => Effect.Effect<Entry<any>, ConfigError>) => (key: ConfigKey.Any) =>
    Effect.flatMap(found(key), (entry) => encodeValue(key, entry))

  const named: { readonly [N in Named]: (namespace: string, name: string, ...rest: ReadonlyArray<any>) => any } = {
    get: (namespace, name) =>
      Effect.flatMap(find(namespace, name), (key) => Effect.flatMap(byKey.get(key), (value) => encode(key, value))),
    getOrDefault: (namespace, name) =>
      Effect.orDie(
        Effect.flatMap(find(namespace, name), (key) =>
          Effect.flatMap(byKey.getOrDefault(key), (value) => encode(key, value))
        )
      ),
    entry: (namespace, name) => Effect.flatMap(find(namespace, name), entryBy(byKey.entry)),
    handle: (namespace, name) =>
      Effect.flatMap(find(namespace, name), (key) =>
        Effect.map(byKey.handle(key), (handle) => new JsonHandle(key, handle))
      ),
    watch: (namespace, name) =>
      Stream.unwrap(
        Effect.map(find(namespace, name), (key) =>
          Stream.mapEffect(byKey.watch(key), (entry) => encodeValue(key, entry))
        )
      ),
    changes: (namespace, name) =>
      Stream.unwrap(
        Effect.map(Effect.orDie(find(namespace, name)), (key) =>
          Stream.mapEffect(byKey.changes(key), (change) => Effect.orDie(encodeChange(key, change)))
        )
      ),
    onChange: (namespace, name, handler) =>
      Effect.flatMap(Effect.orDie(find(namespace, name)), (key) =>
        byKey.onChange(key, (change) => Effect.flatMap(encodeChange(key, change), handler))
      ),
    set: (namespace, name, value, options) =>
      Effect.flatMap(find(namespace, name), (key) =>
        Effect.flatMap(decode(key, value), (value) => entryBy((key) => byKey.set(key, value, options))(key))
      ),
    remove: (namespace, name, options) =>
      Effect.flatMap(
        find(namespace, name),
        entryBy((key) => byKey.remove(key, options))
      )
  }

  // What follows a key may be anything, as in `keys.map(Config.get)`: it is the first argument that tells which form it
  // is.
  const either =
    (member: Named) =>
    (first: any, ...rest: ReadonlyArray<any>) =>
      typeof first === "string"
        ? named[member](first, ...(rest as [string]))
        : (byKey[member] as (...args: ReadonlyArray<any>) => any)(first, ...rest)

  return {
    get: either("get"),
    getOrDefault: either("getOrDefault"),
    entry: either("entry"),
    handle: either("handle"),
    watch: either("watch"),
    changes: either("changes"),
    onChange: either("onChange"),
    set: either("set"),
    remove: either("remove")
  }
}

/** The value that a writer's JSON stands for. */
const decode = (key: ConfigKey.Any, json: unknown): Effect.Effect<unknown, ConfigError> =>
  Result.match(KeyCodec.of(key.schema, key).decodeGiven(json), {
    onFailure: (problem) =>
      Effect.fail(
        new ConfigError({
          reason: new InvalidValue({ problems: [{ namespace: key.namespace, key: key.key, problem }] })
        })
      ),
    onSuccess: Effect.succeed
  })

/** A handle that yields the JSON of the values of another one. */
class JsonHandle extends Effectable.Class<Schema.Json> implements ConfigHandle<Schema.Json> {
  readonly #key: ConfigKey.Any
  readonly #handle: ConfigHandle<any>

  constructor(key: ConfigKey.Any, handle: ConfigHandle<any>) {
    super()
    this.#key = key
    this.#handle = handle
  }

  get tenant() {
    return this.#handle.tenant
  }

  get current(): Schema.Json {
    return this.#encode(this.#handle.current)
  }

  get entry(): Entry<Schema.Json> {
    const entry = this.#handle.entry
    return { ...entry, value: this.#encode(entry.value) }
  }

  override asEffect(): Effect.Effect<Schema.Json> {
    return Exit.succeed(this.current)
  }

  override [Symbol.iterator](): Effect.EffectIterator<ConfigHandle<Schema.Json>> {
    return Exit.succeed(this.current)[Symbol.iterator]() as any
  }

  #encode(value: unknown): Schema.Json {
    return Result.getOrThrow(WriteRequest.encode(this.#key, value))
  }
}
