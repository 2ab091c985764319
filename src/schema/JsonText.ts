/**
 * Which values `jsonb` can hold.
 *
 * PostgreSQL accepts less than JavaScript writes: `JSON.stringify` turns `NaN` into `null` and drops `undefined`, and
 * `jsonb` refuses U+0000 and unpaired surrogates. One such value inside a statement for many keys would fail them all,
 * so values are checked before they leave the process.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as StoredValue from "./StoredValue.ts"

/**
 * The text of a JSON value, or where and why it cannot be stored. The reason never holds the value.
 *
 * @since 0.1.0
 */
export const encode = (value: unknown): Result.Result<string, string> => {
  try {
    const problem = problemAt(value, "", [])
    return problem === undefined ? Result.succeed(JSON.stringify(value)) : Result.fail(problem)
  } catch {
    return Result.fail("it throws when it is read")
  }
}

/**
 * A copy of a value's plain objects and arrays, frozen all the way down: the object that was given stays as it is, for
 * its owner to change. Instances of classes are shared.
 *
 * @since 0.1.0
 */
export const frozenCopy = <A>(value: A): A => copy(value, new Map()) as A

const copy = (value: unknown, done: Map<unknown, unknown>): unknown => {
  if (!(Array.isArray(value) || isPlainObject(value))) return value
  const known = done.get(value)
  if (known !== undefined) return known
  const copied: any = Array.isArray(value) ? [] : Object.create(Object.getPrototypeOf(value))
  done.set(value, copied)
  for (const [name, part] of Object.entries(value)) {
    Object.defineProperty(copied, name, {
      value: copy(part, done),
      enumerable: true,
      configurable: true,
      writable: true
    })
  }
  return Object.freeze(copied)
}

/** @since 0.1.0 */
export type Json = Schema.Json

const problemAt = (value: unknown, path: string, parents: ReadonlyArray<unknown>): string | undefined => {
  const at = path === "" ? "the value" : path
  switch (typeof value) {
    case "boolean":
      return undefined
    case "number":
      return Number.isFinite(value) ? undefined : `${at} is not a finite number`
    case "string":
      return textProblem(value, at)
    case "object": {
      if (value === null) return undefined
      if (parents.length >= StoredValue.maxDepth) return StoredValue.tooDeep.problem
      if (parents.includes(value)) return `${at} refers to itself`
      const chain = [...parents, value]
      if (Array.isArray(value)) return first(value.entries(), (i, item) => problemAt(item, `${path}[${i}]`, chain))
      if (!isPlainObject(value)) return `${at} is not plain JSON`
      return first(
        Object.entries(value),
        (name, item) => textProblem(name, `a name in ${at}`) ?? problemAt(item, `${path}.${name}`, chain)
      )
    }
    default:
      return `${at} is ${typeof value}, which JSON does not have`
  }
}

const first = <K>(entries: Iterable<[K, unknown]>, problem: (key: K, value: unknown) => string | undefined) => {
  for (const [key, value] of entries) {
    const found = problem(key, value)
    if (found !== undefined) return found
  }
  return undefined
}

const textProblem = (text: string, at: string): string | undefined =>
  text.includes("\0")
    ? `${at} contains U+0000, which jsonb cannot hold`
    : text.isWellFormed()
      ? undefined
      : `${at} contains half of a surrogate pair, which jsonb cannot hold`

/**
 * Whether two JSON values are the same. `Equal.equals` would run what it takes for code of theirs: a document may have a
 * property of any name.
 *
 * @since 0.1.0
 */
export const isSame = (a: any, b: any): boolean => {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name]))
  )
}

/** Whether a value is an object of no class. */
export const isPlainObject = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== "object" || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
