/**
 * Keeps what one reader does to a value from another reader.
 *
 * A value is held once for all readers of a tenant, and handed out without a copy if nothing can change it: plain
 * objects, arrays and instances of `Schema.Class` are frozen all the way down, and Effect's data types have no way to
 * be changed. Whatever else a schema decodes to (a `Date`, a `Map`, a typed array, an instance of a class of the
 * application) is never handed out itself: each reader is given one of its own, decoded anew from the stored JSON.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as JsonText from "./JsonText.ts"

/** Stands for a value that each reader is given anew. */
class ReaderOwned {
  readonly #pristine: unknown
  readonly #again: () => Result.Result<unknown, string>

  constructor(pristine: unknown, again: () => Result.Result<unknown, string>) {
    this.#pristine = pristine
    this.#again = again
  }

  // What was decoded once decodes again, unless the code of a schema decides otherwise.
  make(): unknown {
    const made = this.#again()
    return Result.isSuccess(made) ? made.success : this.#pristine
  }
}

/**
 * A decoded value as it is held: frozen, or what stands for it. `again` decodes it once more, sharing nothing with what
 * it returned before.
 *
 * @since 0.1.0
 */
export const hold = (value: unknown, again: () => Result.Result<unknown, string>): unknown =>
  typeof value !== "object" || value === null || isFrozenWhole(value) ? value : new ReaderOwned(value, again)

/** What a reader is given of a value that is held. */
export const handOut = <A>(held: unknown): A => (held instanceof ReaderOwned ? held.make() : held) as A

/** Whether each reader has to be given a value of its own. */
export const isOwned = (held: unknown): boolean => held instanceof ReaderOwned

/**
 * Whether two values of a key, held or handed out, are the same: by their JSON, since what an instance of a class
 * holds is perhaps seen by its methods alone. Values that cannot be encoded are not.
 */
export const isSame = ({ encode }: Pick<Codec, "encode">, a: unknown, b: unknown): boolean => {
  if (a === b) return true
  const [one, other] = [encode(handOut(a)), encode(handOut(b))]
  return Result.isSuccess(one) && Result.isSuccess(other) && JsonText.isSame(one.success, other.success)
}

interface Codec {
  readonly decode: (json: unknown) => Result.Result<unknown, string>
  readonly encode: (value: any) => Result.Result<unknown, string>
}

/**
 * A default as it is held. The object that the caller made stays the caller's: what cannot be copied part by part takes
 * the way through its JSON.
 *
 * @since 0.1.0
 */
export const holdDefault = (value: unknown, { decode, encode }: Codec): unknown => {
  if (isCopied(value)) return JsonText.frozenCopy(value)
  // Its text shares nothing with the object that was given.
  const json = Result.flatMap(encode(value), JsonText.encode)
  if (Result.isFailure(json)) return JsonText.frozenCopy(value)
  const again = () => decode(JSON.parse(json.success))
  const first = again()
  return Result.isFailure(first) ? JsonText.frozenCopy(value) : hold(first.success, again)
}

const held = Symbol("effect-systemplane/schema/ReaderOwned")

/** The property that remembers how the default of a key is held. */
export const remembered = (value: unknown): object => ({ [held]: value })

/** The default of a key as it is held. */
export const defaultOf = (key: { readonly defaultValue: unknown; readonly [held]?: unknown }): unknown =>
  held in key ? key[held] : key.defaultValue

/** Data types of Effect that nothing can change, but for what they contain. */
const immutable = [
  "~effect/Option",
  "~effect/Result",
  "~effect/Duration",
  "~effect/DateTime",
  "~effect/DateTime/TimeZone",
  "~effect/BigDecimal",
  "~effect/Chunk",
  "~effect/HashMap",
  "~effect/HashSet",
  "~effect/Redacted"
] as const

const isImmutable = (value: object): boolean => immutable.some((id) => id in value)

/** What a data type of Effect contains. */
const contentsOf = (value: any): Iterable<unknown> => {
  if ("~effect/Option" in value || "~effect/Result" in value) return Object.values(value)
  if ("~effect/Chunk" in value || "~effect/HashMap" in value || "~effect/HashSet" in value) return value
  return "~effect/Redacted" in value ? [Redacted.value(value)] : []
}

/** Freezes what can be frozen, and says whether that is everything. What is frozen already may hold what is not. */
const isFrozenWhole = (value: unknown, done: Set<unknown> = new Set()): boolean => {
  if (typeof value !== "object" || value === null || done.has(value)) return true
  done.add(value)
  if (!isPlain(value) && isImmutable(value)) return every(contentsOf(value), done)
  if (!isPlain(value) && !Schema.isSchema(value.constructor)) return false
  Object.freeze(value)
  return every(Object.values(value), done)
}

const every = (parts: Iterable<unknown>, done: Set<unknown>): boolean => {
  for (const part of parts) if (!isFrozenWhole(part, done)) return false
  return true
}

/** Whether it is a part of a document. Its properties may have any names, also those of Effect's data types. */
const isPlain = (value: object): boolean => Array.isArray(value) || JsonText.isPlainObject(value)

/** Whether a copy of the plain objects and arrays of a value shares nothing with it that can be changed. */
const isCopied = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return true
  if (isPlain(value)) return Object.values(value).every(isCopied)
  return isImmutable(value) && [...contentsOf(value)].every(isAtom)
}

const isAtom = (value: unknown): boolean =>
  typeof value !== "object" ||
  value === null ||
  (!isPlain(value) && isImmutable(value) && [...contentsOf(value)].every(isAtom))
