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
import * as SchemaIssue from "effect/SchemaIssue"
import type * as JsonText from "./JsonText.ts"
import * as OpenSchema from "./OpenSchema.ts"

/**
 * The functions of a schema. None of them puts the value into its failure. A check may say in its own words what is
 * wrong with a value, and may repeat it there: those words are for the writer who gave it alone.
 *
 * @since 0.1.0
 */
export interface KeyCodec<in out A> {
  /** Decodes what is stored. The failure repeats no words that a check made for the value. */
  readonly decode: (json: unknown) => Result.Result<A, string>
  /** Decodes what a writer gives. */
  readonly decodeGiven: (json: unknown) => Result.Result<A, string>
  readonly encode: (value: A) => Result.Result<JsonText.Json, string>
  /** Whether a value is one that the schema decodes to. */
  readonly check: (value: unknown) => Result.Result<A, string>
}

const make =
  (options: { readonly secret: boolean }) =>
  (schema: Schema.Codec<any, any>): KeyCodec<any> => {
    const decode = Schema.decodeUnknownExit(OpenSchema.open(schema))
    const forWriters = options.secret ? nothing : reasonWith(schema, inItsWords)
    return {
      decode: withReason(decode, options.secret ? nothing : reasonWith(schema, inOurWords)),
      decodeGiven: withReason(decode, forWriters),
      encode: withReason(Schema.encodeUnknownExit(OpenSchema.open(schema)), forWriters),
      check: withReason(Schema.decodeUnknownExit(Schema.toType(schema)), forWriters)
    }
  }

const ofOpen = memoize(make({ secret: false }))
const ofSecret = memoize(make({ secret: true }))

/** The codec of a schema; for a secret its reasons do not even tell which part of the value was wrong. */
export const of = <A>(schema: Schema.Codec<A, any>, { secret }: { readonly secret: boolean }): KeyCodec<A> =>
  secret ? ofSecret(schema) : ofOpen(schema)

// A schema that needs a service or an asynchronous step throws instead of failing. The text of what was thrown is not
// repeated, since it may hold the value.
const withReason =
  <A>(codec: (input: unknown) => Exit.Exit<A, Schema.SchemaError>, reasonOf: (issue: SchemaIssue.Issue) => string) =>
  (input: unknown): Result.Result<A, string> => {
    try {
      const exit = codec(input)
      if (Exit.isSuccess(exit)) return Result.succeed(exit.value)
      const error = Cause.findErrorOption(exit.cause)
      return Result.fail(Option.isNone(error) ? threw : reasonOf(error.value.issue))
    } catch {
      return Result.fail(threw)
    }
  }

const threw = "its schema threw, or cannot be applied synchronously"

const nothing = () => "it does not satisfy the schema"

const inItsWords = SchemaIssue.makeFormatterStandardSchemaV1()

/** The words of a schema's annotations alone: they are the same for all values. */
const inOurWords = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) =>
    issue._tag === "InvalidValue"
      ? `Expected ${issue.annotations?.expected ?? "a valid value"}`
      : SchemaIssue.defaultLeafHook(issue),
  checkHook: ({ filter: { annotations } }) =>
    annotations?.message ?? `Expected ${annotations?.expected ?? "a value that its check takes"}`
})

/** More of what is wrong with a value is not told. */
const mostProblems = 5

/** What is wrong, and where: without the names that only the document has, as those of a record's entries. */
const reasonWith =
  (schema: Schema.Codec<any, any>, format: typeof inItsWords) =>
  (issue: SchemaIssue.Issue): string =>
    format(issue)
      .issues.slice(0, mostProblems)
      .map(({ message, path = [] }) => {
        const at = path.map((step) => (typeof step === "object" ? step.key : step)).map((name) => stepOf(schema, name))
        return `${message
          .split("\n")
          .map((line) => line.trim())
          .join(" ")}${at.length === 0 ? "" : ` at ${at.join("")}`}`
      })
      .join(" ")

const stepOf = (schema: Schema.Codec<any, any>, name: PropertyKey): string =>
  typeof name === "number" ? `[${name}]` : namesOf(schema).has(name) ? `[${JSON.stringify(name)}]` : "[*]"

/** More parts of a schema are not looked at: one that makes its parts on demand may have no end. */
const mostParts = 10_000

/** The names of the properties that a schema declares, at any depth and on both sides of its transformations. */
const namesOf = memoize((schema: Schema.Codec<any, any>): ReadonlySet<PropertyKey> => {
  const names = new Set<string>()
  const parts = new Set<object>()
  const add = (part: unknown) => {
    if (typeof part === "object" && part !== null && parts.size < mostParts) parts.add(part)
  }
  add(schema.ast)
  // A set hands over what is added to it meanwhile: what is nearer to the top comes first.
  for (const part of parts) {
    const { _tag, propertySignatures, thunk } = part as any
    for (const { name } of Array.isArray(propertySignatures) ? propertySignatures : []) {
      if (typeof name === "string") names.add(name)
    }
    for (const [field, inner] of Object.entries(part)) if (!beside.has(field)) add(inner)
    if (_tag === "Suspend") add(thunk())
  }
  return names
})

/** What of a schema's tree is no part of its shape. */
const beside = new Set(["annotations", "checks"])
