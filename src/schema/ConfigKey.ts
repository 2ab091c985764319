/**
 * Typed keys: what an application may configure, declared once in code.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as JsonText from "./JsonText.ts"
import * as KeyCodec from "./KeyCodec.ts"
import * as KeyHints from "./KeyHints.ts"
import { show } from "./KeyName.ts"
import * as ReaderOwned from "./ReaderOwned.ts"

/**
 * A declared key of type `A`, with the schema that every stored value must pass and the default that is in force if
 * no row exists.
 *
 * **Details**
 *
 * `decode` and `encode` are the key's codec, built once per schema. Neither puts the value into its failure, so that a
 * reason may be logged; for a `secret` key the reason does not even tell which part of the value was wrong.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigKey<in out A> {
  readonly namespace: string
  readonly key: string
  readonly schema: Schema.Codec<A, any>
  readonly defaultValue: A
  readonly description: string | undefined
  /** Who answers for the key: a team, a service. */
  readonly owner: string | undefined
  /** Values that make sense, for those who change it. */
  readonly examples: ReadonlyArray<A>
  /** Values of this key never appear in an error. */
  readonly secret: boolean
  readonly decode: (json: unknown) => Result.Result<A, string>
  readonly encode: (value: A) => Result.Result<JsonText.Json, string>
}

/**
 * Types of keys.
 *
 * @category models
 * @since 0.1.0
 */
export declare namespace ConfigKey {
  /**
   * A key of any type. An array of it holds keys of different types, and each can be passed to every member of `Config`
   * without a cast: `Effect.forEach(keys, (key) => Config.get(key))`.
   */
  export type Any = ConfigKey<any>
  /** The type of a key's values; of a union of keys, the union of theirs. */
  export type Value<K extends Any> = K["defaultValue"]
}

/**
 * Options of {@link ConfigKey.make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigKeyOptions<A> {
  /**
   * Any codec whose encoded side is JSON and which needs no service and no asynchronous step. What a stored document
   * holds beyond the fields of a struct is kept when the value is read, changed and written; a class, or a struct that
   * is transformed as a whole, drops it.
   *
   * Why a stored value is rejected is told in the words of the schema's annotations (`expected`, `message`). What a
   * check says of one value may repeat it, and is told to its writer alone.
   */
  readonly schema: Schema.Codec<A, any>
  /** In force while no row is stored. Checked against `schema` when the key is made. */
  readonly defaultValue: NoInfer<A>
  /** What the key is for. Tools show it. */
  readonly description?: string | undefined
  /** Who answers for the key: a team, a service. Tools show it. */
  readonly owner?: string | undefined
  /**
   * Values that make sense, for those who change it; checked against `schema` when the key is made. Not shown of a
   * secret.
   */
  readonly examples?: ReadonlyArray<NoInfer<A>> | undefined
  /** Keeps values of this key, and what was wrong with them, out of every error. Default `false`. */
  readonly secret?: boolean | undefined
}

/**
 * A value for a key, as one part of a `Config.setAll`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Assignment<in out A> {
  readonly key: ConfigKey<A>
  readonly value: A
  readonly ifRevision: number | undefined
}

/** @category models */
export declare namespace Assignment {
  /** An assignment of any type. */
  export type Any = Assignment<any>
}

/**
 * Keys of one namespace that belong together, under the names of a record's fields.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigKeyGroup<F extends ConfigKeyGroup.Fields> {
  readonly namespace: string
  readonly keys: F
  /** The keys as a list, to be declared. */
  readonly all: ReadonlyArray<ConfigKey.Any>
}

/** @category models */
export declare namespace ConfigKeyGroup {
  /** Keys by the name of a field. */
  export type Fields = Readonly<Record<string, ConfigKey.Any>>
  /** The record of the keys' values. */
  export type Values<F extends Fields> = { readonly [N in keyof F]: ConfigKey.Value<F[N]> }
}

/**
 * A key that cannot be declared: a name that is empty, longer than 255 characters, `.` or `..`, or a default or an
 * example that its own schema refuses.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidConfigKey extends Schema.TaggedError<InvalidConfigKey>()("InvalidConfigKey", {
  namespace: Schema.String,
  key: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `The key ${show(this)} cannot be declared: ${this.problem}`
  }
}

/**
 * Declares keys.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ConfigKey = {
  /**
   * Declares a key.
   *
   * **Details**
   *
   * Throws {@link InvalidConfigKey} if a name is not 1 to 255 characters long, or the default or an example does not
   * satisfy the schema: a mistake in the program, best met when its module loads.
   *
   * **Example** (A positive integer)
   *
   * ```ts
   * import { Schema } from "effect"
   * import { ConfigKey } from "effect-systemplane"
   *
   * export const RequestsPerMinute = ConfigKey.make("rate-limits", "requests-per-minute", {
   *   schema: Schema.Int.check(Schema.isGreaterThan(0)),
   *   defaultValue: 600,
   *   description: "Requests a tenant may send per minute"
   * })
   * ```
   *
   * @since 0.1.0
   */
  make: <A>(namespace: string, key: string, options: ConfigKeyOptions<A>): ConfigKey<A> =>
    make(namespace, key, options),

  /**
   * A value for a key, as one part of a `Config.setAll`; with `ifRevision`, written only while the entry is at that
   * revision. The value is checked when it is written: `Config.setAll` then fails with `InvalidValue`.
   *
   * @since 0.1.0
   */
  value: <A>(
    key: ConfigKey<A>,
    value: NoInfer<A>,
    options?: { readonly ifRevision?: number | undefined }
  ): Assignment<A> => ({ key, value, ifRevision: options?.ifRevision }),

  /**
   * Declares keys of one namespace that belong together. The key of a field is its name in kebab-case:
   * `requestsPerMinute` is stored as `requests-per-minute`. Throws as `make` does.
   *
   * **Example** (Two limits, read as one record)
   *
   * ```ts
   * import { Schema } from "effect"
   * import { Config, ConfigKey } from "effect-systemplane"
   *
   * const RateLimits = ConfigKey.group("rate-limits", {
   *   requestsPerMinute: { schema: Schema.Int, defaultValue: 600 },
   *   burst: { schema: Schema.Int, defaultValue: 20 }
   * })
   *
   * // SystemplaneLive({ keys: [...RateLimits.all] })
   * const limits = Config.getGroup(RateLimits) // { requestsPerMinute: number, burst: number }
   * const burst = Config.get(RateLimits.keys.burst)
   * ```
   *
   * @since 0.1.0
   */
  group: <T extends Readonly<Record<string, unknown>>>(
    namespace: string,
    fields: { readonly [N in keyof T]: ConfigKeyOptions<T[N]> }
  ): ConfigKeyGroup<{ readonly [N in keyof T]: ConfigKey<T[N]> }> => {
    const keys = Object.fromEntries(
      Object.entries(fields).map(([field, options]) => [field, make(namespace, kebabCase(field), options)])
    ) as unknown as { readonly [N in keyof T]: ConfigKey<T[N]> }
    return { namespace, keys, all: Object.values(keys) }
  }
}

const make = <A>(namespace: string, key: string, options: ConfigKeyOptions<A>): ConfigKey<A> => {
  const secret = options.secret ?? false
  const { check, decode, encode } = KeyCodec.of(options.schema, { secret })
  const problem =
    nameProblem("namespace", namespace) ??
    nameProblem("key", key) ??
    defaultProblem(check(options.defaultValue)) ??
    exampleProblem(options.examples ?? [], check)
  if (problem !== undefined) throw new InvalidConfigKey({ namespace, key, problem })
  const held = ReaderOwned.holdDefault(options.defaultValue, { decode, encode })
  const made = {
    namespace,
    key,
    schema: options.schema,
    defaultValue: ReaderOwned.handOut<A>(held),
    description: options.description,
    owner: options.owner,
    examples: JsonText.frozenCopy<ReadonlyArray<A>>(options.examples ?? []),
    secret,
    decode,
    encode,
    ...ReaderOwned.remembered(held),
    ...KeyHints.initial()
  }
  // Only if it has to: an object with an accessor of its own is a hash table to V8, and each look at it a search.
  if (ReaderOwned.isOwned(held)) {
    Object.defineProperty(made, "defaultValue", { get: () => ReaderOwned.handOut<A>(held) })
  }
  return Object.freeze(made)
}

const kebabCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const maxNameLength = 255

const nameProblem = (what: string, name: string): string | undefined =>
  name !== "." &&
  name !== ".." &&
  name.length >= 1 &&
  name.length <= maxNameLength &&
  name.isWellFormed() &&
  !name.includes("\0")
    ? undefined
    : `its ${what} must be 1 to ${maxNameLength} characters of well-formed text, and not "." or ".."`

const defaultProblem = (checked: Result.Result<unknown, string>): string | undefined =>
  Result.isFailure(checked) ? `its default does not satisfy its schema: ${checked.failure}` : undefined

const exampleProblem = <A>(
  examples: ReadonlyArray<A>,
  check: (value: unknown) => Result.Result<A, string>
): string | undefined => {
  for (const [i, example] of examples.entries()) {
    const checked = check(example)
    if (Result.isFailure(checked)) return `its example ${i + 1} does not satisfy its schema: ${checked.failure}`
  }
  return undefined
}
