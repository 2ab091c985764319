/**
 * In what two JSON values differ.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * One difference: where it is, and what is there before and after. `before` is absent if something was added, `after`
 * if something was removed.
 *
 * @category models
 * @since 0.1.0
 */
export const Difference = Schema.Struct({
  /** A JSON pointer (RFC 6901); empty for the value itself. */
  pointer: Schema.String,
  before: Schema.optionalKey(Schema.Json),
  after: Schema.optionalKey(Schema.Json)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Difference = typeof Difference.Type

/**
 * The differences of two values; `undefined` is no value. Objects are compared member by member and arrays element by
 * element.
 *
 * @category comparing
 * @since 0.1.0
 */
export const diff = (before: Schema.Json | undefined, after: Schema.Json | undefined): ReadonlyArray<Difference> => {
  const found: Array<Difference> = []
  compare("", before, after, found)
  return found
}

type Members = ReadonlyMap<string, Schema.Json>

const compare = (
  pointer: string,
  before: Schema.Json | undefined,
  after: Schema.Json | undefined,
  found: Array<Difference>
): void => {
  if (before === after) return
  const members = alike(before, after)
  if (members === undefined) {
    found.push({ pointer, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) })
    return
  }
  for (const name of new Set([...members.before.keys(), ...members.after.keys()])) {
    compare(`${pointer}/${escaped(name)}`, members.before.get(name), members.after.get(name), found)
  }
}

/** The members of two objects, or of two arrays; `undefined` if the values are not of one kind. */
const alike = (
  before: Schema.Json | undefined,
  after: Schema.Json | undefined
): { readonly before: Members; readonly after: Members } | undefined => {
  if (typeof before !== "object" || typeof after !== "object" || before === null || after === null) return undefined
  return Array.isArray(before) === Array.isArray(after)
    ? { before: new Map(Object.entries(before)), after: new Map(Object.entries(after)) }
    : undefined
}

const escaped = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1")
