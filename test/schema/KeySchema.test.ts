import { assert, describe, it } from "@effect/vitest"
import Ajv2020 from "ajv/dist/2020.js"
import { Result, Schema } from "effect"
import * as fc from "fast-check"
import * as KeyCodec from "../../src/schema/KeyCodec.ts"
import * as KeySchema from "../../src/schema/operator/KeySchema.ts"

const ajv = new Ajv2020.default({ strict: false, allErrors: false, logger: false })

/** Schemas of all kinds, from leaves to nested documents. */
const { schema: schemas } = fc.letrec<{ schema: Schema.Codec<any, any> }>((tie) => {
  const inner = tie("schema")
  const leaf: fc.Arbitrary<Schema.Codec<any, any>> = fc.oneof(
    fc.constantFrom<Schema.Codec<any, any>>(
      Schema.String,
      Schema.Number,
      Schema.Finite,
      Schema.Int,
      Schema.Boolean,
      Schema.Null,
      Schema.Json,
      Schema.NumberFromString,
      Schema.DateTimeUtcFromString,
      Schema.NonEmptyString,
      Schema.Literals(["a", "b", 1, true]),
      Schema.String.check(Schema.isPattern(/^[ab]+$/u)),
      Schema.String.check(Schema.isPattern(/^a.c$/i)),
      Schema.String.check(Schema.makeFilter((text) => text.length % 2 === 0)),
      Schema.TemplateLiteral(["n-", Schema.Number])
    ),
    fc.integer({ min: -3, max: 5 }).map((n) => Schema.Int.check(Schema.isGreaterThan(n))),
    fc.integer({ min: 0, max: 4 }).map((n) => Schema.String.check(Schema.isMinLength(n), Schema.isMaxLength(n + 2))),
    fc.integer({ min: -2, max: 2 }).map((n) => Schema.Number.check(Schema.isBetween({ minimum: n, maximum: n + 3 })))
  )
  return {
    schema: fc.oneof(
      { depthSize: "small", maxDepth: 3 },
      leaf,
      inner.map((item) => Schema.Array(item)),
      inner.map((item) => Schema.Array(item).check(Schema.isMinLength(1))),
      fc.tuple(inner, inner).map(([a, b]) => Schema.Tuple([a, Schema.optionalKey(b)])),
      fc.tuple(inner, inner).map(([a, b]) => Schema.TupleWithRest(Schema.Tuple([a]), [b])),
      fc.tuple(inner, inner).map(([a, b]) => Schema.Union([a, b])),
      inner.map((value) => Schema.Record(Schema.String, value)),
      inner.map((value) => Schema.NullOr(value)),
      fc
        .tuple(inner, inner, inner)
        .map(([a, b, c]) => Schema.Struct({ a, b: Schema.optionalKey(b), c: Schema.optional(c) }) as any)
    )
  }
})

const json = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<any>(
    "a",
    "b",
    "ab",
    "aXc",
    "n-1",
    "🐟",
    "🐟🐟",
    1,
    2,
    3,
    1.5,
    -0,
    2 ** 53,
    true,
    null,
    "12",
    "Infinity"
  ),
  fc.record(
    { a: fc.jsonValue({ maxDepth: 1 }), b: fc.jsonValue({ maxDepth: 1 }), c: fc.jsonValue({ maxDepth: 0 }) },
    {
      requiredKeys: []
    }
  ),
  fc.array(fc.constantFrom<any>("a", "b", 1, 2, null, true), { maxLength: 3 })
)

const fits = (schema: Schema.Codec<any, any>) => {
  const described = KeySchema.of(schema)
  const validate = ajv.compile(described.schema)
  const { decode } = KeyCodec.of(schema, { secret: false })
  return {
    exact: described.exact,
    decoder: (value: unknown) => Result.isSuccess(decode(value)),
    jsonSchema: (value: unknown) => validate(value)
  }
}

const said = (schema: Schema.Codec<any, any>, value: unknown) =>
  JSON.stringify({ value, schema: KeySchema.of(schema).schema })

describe("the JSON Schema of a key", () => {
  it("the JSON Schema of a key takes whatever the decoder takes and, if it is exact, nothing else: over random schemas and values", () => {
    let exact = 0
    let taken = 0
    fc.assert(
      fc.property(schemas, fc.array(json, { minLength: 8, maxLength: 8 }), (schema, values) => {
        const described = fits(schema)
        if (described.exact) exact++
        for (const given of values) {
          // As the database hands it over.
          const value = JSON.parse(JSON.stringify(given))
          const decodes = described.decoder(value)
          if (decodes) taken++
          if (decodes && !described.jsonSchema(value)) assert.fail(`refused, though it decodes: ${said(schema, value)}`)
          if (described.exact && !decodes && described.jsonSchema(value))
            assert.fail(`taken, though refused: ${said(schema, value)}`)
        }
      }),
      { numRuns: 200 }
    )
    assert.isAbove(exact, 20)
    assert.isAbove(taken, 10)
  })

  it("the JSON Schema of a key says what is stored, not what Effect's JSON codec would write: no Infinity, no null for an optional field", () => {
    const { exact, schema } = KeySchema.of(
      Schema.Struct({ limit: Schema.Int.check(Schema.isGreaterThan(0)), note: Schema.optional(Schema.String) })
    )
    assert.isTrue(exact)
    assert.deepStrictEqual(schema, {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: {
        limit: {
          allOf: [
            { type: "number" },
            { type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
            { exclusiveMinimum: 0 }
          ]
        },
        note: { type: "string" }
      },
      required: ["limit"]
    })
  })

  it("the JSON Schema of a key names what it cannot express: a filter, a pattern without the u flag, a transformation", () => {
    const exactness = (schema: Schema.Codec<any, any>) => KeySchema.of(schema).exact
    assert.isFalse(exactness(Schema.String.check(Schema.makeFilter((text) => text !== "x"))))
    assert.isFalse(exactness(Schema.String.check(Schema.isPattern(/^a$/))))
    assert.isTrue(exactness(Schema.String.check(Schema.isPattern(/^a$/u))))
    assert.isFalse(exactness(Schema.NumberFromString))
    assert.deepStrictEqual(KeySchema.of(Schema.NumberFromString).reasons, ["a transformation"])
  })

  it("the JSON Schema of a key describes a schema that refers to itself", () => {
    interface Tree {
      readonly children: ReadonlyArray<Tree>
    }
    const Tree: Schema.Codec<Tree> = Schema.Struct({
      children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
    })
    const { decoder, exact, jsonSchema } = fits(Tree)
    assert.isTrue(exact)
    for (const value of [
      { children: [] },
      { children: [{ children: [] }] },
      { children: [{}] },
      { children: [null] }
    ]) {
      assert.strictEqual(jsonSchema(value), decoder(value), JSON.stringify(value))
    }
  })
})
