/**
 * The names under which code written against `effect/Config` finds the declared keys.
 *
 * A path is read as `ConfigProvider.constantCase` over environment variables reads it: each segment in constant case,
 * joined by `_`. So `["rate-limits", "requestsPerMinute"]` and `["RATE_LIMITS_REQUESTS_PER_MINUTE"]` are one name.
 * Segments after the name of a key lead into its value.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Text from "effect/String"
import type { ConfigKey } from "./ConfigKey.ts"
import { show } from "./KeyName.ts"

/**
 * Two keys, or a key and a namespace, would be found under one name.
 *
 * @category errors
 * @since 0.1.0
 */
export class CollidingNames extends Schema.TaggedError<CollidingNames>()("CollidingNames", {
  name: Schema.String,
  /** What has the name: `namespace/key`, or a namespace. */
  claimants: Schema.Tuple([Schema.String, Schema.String])
}) {
  override get message() {
    const [first, second] = this.claimants
    return `${first} and ${second} are both named ${this.name} for effect/Config; rename one, or use SystemplaneConfigProvider.layerNamespaced`
  }
}

type Path = ReadonlyArray<string | number>

/** A key and a path into its value, or the names of a namespace, or all names. */
export type Found =
  | { readonly _tag: "Key"; readonly key: ConfigKey.Any; readonly rest: Path }
  | { readonly _tag: "Names"; readonly names: ReadonlyArray<string> }

/** What a path leads to; `undefined` if it begins with no name of a key. The longest name wins. */
export type Find = (path: Path) => Found | undefined

/** The names of these keys: `NAMESPACE_KEY` and, if `short`, `KEY`. */
export const make = (keys: ReadonlyArray<ConfigKey.Any>, short: boolean): Result.Result<Find, CollidingNames> => {
  const byName = new Map<string, ConfigKey.Any>()
  const namespaces = new Map<string, Array<string>>()
  for (const key of keys) {
    for (const name of namesOf(key, short)) {
      const other = byName.get(name)
      if (other !== undefined && other !== key) return collide(name, show(other), show(key))
      byName.set(name, key)
    }
    const namespace = canonical(key.namespace)
    namespaces.set(namespace, [...(namespaces.get(namespace) ?? []), key.key])
  }
  for (const { namespace } of keys) {
    const key = byName.get(canonical(namespace))
    if (key !== undefined) return collide(canonical(namespace), show(key), `the namespace ${namespace}`)
  }
  const all = [...byName.keys()]

  return Result.succeed((path) => {
    for (let length = path.length; length > 0; length--) {
      const key = byName.get(nameOf(path.slice(0, length)))
      if (key !== undefined) return { _tag: "Key", key, rest: path.slice(length) }
    }
    const names = path.length === 0 ? all : namespaces.get(nameOf(path))
    return names && { _tag: "Names", names }
  })
}

/**
 * The part of a value at a path; `undefined` if there is none. The names of fields are compared in constant case too.
 */
export const within = (value: Schema.Json, path: Path): Schema.Json | undefined => {
  let part: Schema.Json | undefined = value
  for (const segment of path) {
    if (Array.isArray(part)) part = part[Number(segment)]
    else if (typeof part === "object" && part !== null) part = field(part as Schema.JsonObject, String(segment))
    else return undefined
  }
  return part
}

const field = (object: Schema.JsonObject, name: string): Schema.Json | undefined => {
  if (Object.hasOwn(object, name)) return object[name]
  const alike = Object.keys(object).filter((key) => canonical(key) === canonical(name))
  return alike.length === 1 ? object[alike[0]!] : undefined
}

const namesOf = ({ key, namespace }: ConfigKey.Any, short: boolean): ReadonlyArray<string> => {
  const full = nameOf([namespace, key])
  return short ? [full, canonical(key)] : [full]
}

const nameOf = (path: Path): string => path.map((segment) => canonical(String(segment))).join("_")

// Twice, because only then `v2x` and `V2X` are one name. A name without a single ASCII letter or digit stands for
// itself.
const canonical = (text: string): string => Text.configCase(Text.configCase(text)) || text

const collide = (name: string, first: string, second: string) =>
  Result.fail(new CollidingNames({ name, claimants: [first, second] }))
