/**
 * How the values of keys are decoded and encoded: built once per schema, since thousands of keys have a dozen schemas. What a first
 * load runs 10,000 times is then the same few functions, which a processor's cache holds.
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
    decode: withReason(Schema.decodeUnknownExit(schema), options),
    encode: withReason(Schema.encodeUnknownExit(schema), options),
    check: withReason(Schema.decodeUnknownExit(Schema.toType(schema)), options)
  })

const ofOpen = memoize(make({ secret: false }))
const ofSecret = memoize(make({ secret: true }))

/** The codec of a schema; for a secret its reasons do not even tell which part of the value was wrong. */
export const of = <A>(schema: Schema.Codec<A, any>, { secret }: { readonly secret: boolean }): KeyCodec<A> =>
  secret ? ofSecret(schema) : ofOpen(schema)

// A schema that needs a service or an asynchronous step throws instead of failing. The text of what was thrown is not
// repeated, since it may hold the value.
const withReason =
  <A>(codec: (input: unknown) => Exit.Exit<A, Schema.SchemaError>, { secret }: { readonly secret: boolean }) =>
  (input: unknown): Result.Result<A, string> => {
    try {
      const exit = codec(input)
      return Exit.isSuccess(exit) ? Result.succeed(exit.value) : Result.fail(reasonOf(exit.cause, secret))
    } catch {
      return Result.fail(threw)
    }
  }

const threw = "its schema threw, or cannot be applied synchronously"

const reasonOf = (cause: Cause.Cause<Schema.SchemaError>, secret: boolean): string => {
  const error = Cause.findErrorOption(cause)
  if (Option.isNone(error)) return threw
  return secret ? "it does not satisfy the schema" : error.value.message.replaceAll(/\s*\n\s*/g, " ")
}
