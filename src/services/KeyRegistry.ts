/**
 * The keys that an application declared, found by name, by namespace and by slot. Fixed when the layer is built.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import * as JsonText from "../schema/JsonText.ts"
import * as KeyHints from "../schema/KeyHints.ts"
import { show } from "../schema/KeyName.ts"

/**
 * Two different keys were declared under one name.
 *
 * @category errors
 * @since 0.1.0
 */
export class DuplicateKey extends Schema.TaggedError<DuplicateKey>()("DuplicateKey", {
  namespace: Schema.String,
  key: Schema.String
}) {
  override get message() {
    return `Two different keys are declared as ${show(this)}; declare it once and import it where it is used`
  }
}

/**
 * A default in the form in which seeding writes it to a row.
 *
 * @category models
 * @since 0.1.0
 */
export interface Seed {
  readonly namespace: string
  readonly key: string
  /** The value as JSON text. */
  readonly json: string
}

/** A default that PostgreSQL cannot store as a row. It is in force nevertheless. */
export interface Unencodable {
  readonly namespace: string
  readonly key: string
  readonly problem: string
}

/**
 * Every key that the application declared. Fixed when the layer is built.
 *
 * **Details**
 *
 * A key's *slot* is its position in `keys`; it is the same in every replica and for the life of the registry.
 *
 * @category services
 * @since 0.1.0
 */
export class KeyRegistry extends Context.Service<
  KeyRegistry,
  {
    /** In the order of declaration, each once. */
    readonly keys: ReadonlyArray<ConfigKey.Any>
    /** The slot of this very key; `undefined` if it was not declared. */
    readonly slotOf: (key: ConfigKey.Any) => number | undefined
    /** The key of this name; `undefined` if none was declared. */
    readonly find: (namespace: string, key: string) => ConfigKey.Any | undefined
    /** The keys of a namespace, in the order of declaration. */
    readonly inNamespace: (namespace: string) => ReadonlyArray<ConfigKey.Any>
    /** The defaults that can be written as rows. */
    readonly seeds: ReadonlyArray<Seed>
    /** The defaults that cannot be written, each with its problem. */
    readonly unencodable: ReadonlyArray<Unencodable>
  }
>()("effect-systemplane/services/KeyRegistry") {
  /** A registry of these keys. Fails with {@link DuplicateKey} if two different keys have one name. */
  static readonly make = Effect.fnUntraced(function* (keys: ReadonlyArray<ConfigKey.Any>) {
    const unique = Object.freeze([...new Set(keys)])
    const slots = new Map(unique.map((key, slot) => [key, slot]))
    for (const [key, slot] of slots) {
      const hints = KeyHints.of(key)
      if (hints !== undefined) hints.slot = slot
    }
    const namespaces = new Map<string, Map<string, ConfigKey.Any>>()
    for (const key of unique) {
      const names = namespaces.get(key.namespace) ?? new Map<string, ConfigKey.Any>()
      namespaces.set(key.namespace, names)
      if (names.has(key.key)) return yield* new DuplicateKey({ namespace: key.namespace, key: key.key })
      names.set(key.key, key)
    }
    const seeds: Array<Seed> = []
    const unencodable: Array<Unencodable> = []
    for (const { encode, defaultValue, key, namespace } of unique) {
      const json = Result.flatMap(encode(defaultValue), JsonText.encode)
      if (Result.isSuccess(json)) seeds.push({ namespace, key, json: json.success })
      else unencodable.push({ namespace, key, problem: json.failure })
    }
    return KeyRegistry.of({
      keys: unique,
      slotOf: (key) => KeyHints.slotIn(unique, key) ?? slots.get(key),
      find: (namespace, key) => namespaces.get(namespace)?.get(key),
      inNamespace: (namespace) => [...(namespaces.get(namespace)?.values() ?? [])],
      seeds,
      unencodable
    })
  })

  /** {@link KeyRegistry.make} as a layer. */
  static readonly layer = (keys: ReadonlyArray<ConfigKey.Any>) => Layer.effect(KeyRegistry, KeyRegistry.make(keys))
}
