/**
 * How the values of keys are decoded and encoded: built once per schema, since thousands of keys have a dozen schemas.
 * What a first load runs 10,000 times is then the same few functions, which a processor's cache holds.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import { memoize } from "effect/Function"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as JsonText from "./JsonText.ts"
import * as OpenSchema from "./OpenSchema.ts"

/**
 * The functions of a schema. None of them puts the value into its failure.
 *
 * @since 0.1.0
 */
export interface KeyCodec<in out A> {
  readonly decode: (json: unknown) => Result.Result<A, string>
  readonly encode: (value: A) => Result.Result<JsonText.Json, string>
  /** Whether a value is one that the schema decodes to. */
  readonly check: (value: unknown) => Result.Result<A, string>
}

const make =
  (options: { readonly secret: boolean }) =>
  (schema: Schema.Codec<any, any>): KeyCodec<any> => ({
    decode: withReason(schema, Schema.decodeUnknownExit(OpenSchema.open(schema)), options),
    encode: withReason(schema, Schema.encodeUnknownExit(OpenSchema.open(schema)), options),
    check: withReason(schema, Schema.decodeUnknownExit(Schema.toType(schema)), options)
  })

const ofOpen = memoize(make({ secret: false }))
const ofSecret = memoize(make({ secret: true }))

/** The codec of a schema; for a secret its reasons do not even tell which part of the value was wrong. */
export const of = <A>(schema: Schema.Codec<A, any>, { secret }: { readonly secret: boolean }): KeyCodec<A> =>
  secret ? ofSecret(schema) : ofOpen(schema)

// A schema that needs a service or an asynchronous step throws instead of failing. The text of what was thrown is not
// repeated, since it may hold the value.
const withReason =
  <A>(
    schema: Schema.Codec<any, any>,
    codec: (input: unknown) => Exit.Exit<A, Schema.SchemaError>,
    { secret }: { readonly secret: boolean }
  ) =>
  (input: unknown): Result.Result<A, string> => {
    try {
      const exit = codec(input)
      return Exit.isSuccess(exit) ? Result.succeed(exit.value) : Result.fail(reasonOf(schema, exit.cause, secret))
    } catch {
      return Result.fail(threw)
    }
  }

const threw = "its schema threw, or cannot be applied synchronously"

const reasonOf = (schema: Schema.Codec<any, any>, cause: Cause.Cause<Schema.SchemaError>, secret: boolean): string => {
  const error = Cause.findErrorOption(cause)
  if (Option.isNone(error)) return threw
  return secret ? "it does not satisfy the schema" : discreet(schema, error.value.message.replaceAll(/\s*\n\s*/g, " "))
}

const step = /\["((?:[^"\\]|\\.)*)"\]/g

/** A path of a schema's error, without the names that only the document has: those of a record's entries. */
const discreet = (schema: Schema.Codec<any, any>, message: string): string =>
  message.replaceAll(step, (text, name: string) => (namesOf(schema).has(name) ? text : "[*]"))

/** The names of all properties that a schema declares, at any depth and on both sides of its transformations. */
const namesOf = memoize((schema: Schema.Codec<any, any>): ReadonlySet<string> => {
  const names = new Set<string>()
  const seen = new Set<unknown>()
  const open: Array<unknown> = [schema.ast]
  while (open.length > 0) {
    const node: any = open.pop()
    if (typeof node !== "object" || node === null || seen.has(node)) continue
    seen.add(node)
    if (Array.isArray(node)) {
      open.push(...node)
      continue
    }
    for (const { name } of Array.isArray(node.propertySignatures) ? node.propertySignatures : []) {
      if (typeof name === "string") names.add(name)
    }
    for (const [field, part] of Object.entries(node)) if (!beside.has(field)) open.push(part)
    if (node._tag === "Suspend") open.push(node.thunk())
  }
  return names
})

/** What of a schema's tree is no part of its shape. */
const beside = new Set(["annotations", "checks"])
