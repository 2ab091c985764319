/** Documents that hold more than a process's schema knows. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { ConfigKey, Entry } from "effect-systemplane"
import * as fc from "fast-check"

interface Tree {
  readonly at: Date
  readonly children: ReadonlyArray<Tree>
}
const Tree: Schema.Codec<Tree, any> = Schema.Struct({
  at: Schema.DateFromString,
  children: Schema.Array(Schema.suspend(() => Tree))
})

/** A schema, and JSON of it that holds more than it knows in each struct. */
type Kind = readonly [schema: Schema.Codec<any, any>, json: unknown]

const beyond = fc.dictionary(
  fc.string().filter((name) => !["a", "b", "_tag"].includes(name)),
  fc.jsonValue(),
  { maxKeys: 3 }
)

const kinds = fc.letrec<{ kind: Kind }>((tie) => ({
  kind: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<Kind>(
      [Schema.Finite, 1],
      [Schema.FiniteFromString, "7"],
      [Schema.DateFromString, "2026-01-01T00:00:00.000Z"],
      [Schema.Json, { any: ["thing"] }],
      [
        Tree,
        { at: "2026-01-01T00:00:00.000Z", new: 1, children: [{ at: "2027-01-01T00:00:00.000Z", new: 2, children: [] }] }
      ]
    ),
    fc
      .tuple(tie("kind"), tie("kind"), beyond)
      .map(
        ([[a, ofA], [b, ofB], more]): Kind => [
          Schema.Struct({ a, b: Schema.optionalKey(b) }),
          { ...more, a: ofA, b: ofB }
        ]
      ),
    fc
      .tuple(tie("kind"), tie("kind"), beyond)
      .map(
        ([[a], [b, ofB], more]): Kind => [
          Schema.Union([Schema.TaggedStruct("A", { a }), Schema.TaggedStruct("B", { b: Schema.NullOr(b) })]),
          { ...more, _tag: "B", b: ofB }
        ]
      ),
    tie("kind").map(([item, json]): Kind => [Schema.Array(item), [json, json]]),
    fc.tuple(tie("kind"), tie("kind")).map(([[a, ofA], [b, ofB]]): Kind => [Schema.Tuple([a, b]), [ofA, ofB]]),
    tie("kind").map(([item, json]): Kind => [Schema.Record(Schema.String, item), { x: json, y: json }])
  )
})).kind

describe("what a document holds beyond its schema", () => {
  it("what a document holds beyond its schema comes back out of decoding and encoding, at any depth of any schema", () => {
    fc.assert(
      fc.property(kinds, ([schema, json]) => {
        const { decode, encode } = ConfigKey.make("n", "k", {
          schema,
          defaultValue: Schema.decodeUnknownSync(schema)(json)
        })
        const decoded = Result.getOrThrow(decode(JSON.parse(JSON.stringify(json))))
        assert.deepStrictEqual(Result.getOrThrow(encode(decoded)), JSON.parse(JSON.stringify(json)))
      }),
      { numRuns: 300 }
    )
  })

  it("what a document holds beyond its schema is kept if a document is changed as a value, and on its way over a wire", () => {
    const key = ConfigKey.make("n", "k", {
      schema: Schema.Struct({ limits: Schema.Struct({ burst: Schema.FiniteFromString }) }),
      defaultValue: { limits: { burst: 1 } }
    })
    const stored = { limits: { burst: "1", window: 60 }, owner: "ops" }
    const read = Result.getOrThrow(key.decode(stored))
    const changed = { ...read, limits: { ...read.limits, burst: 2 } }
    assert.deepStrictEqual(Result.getOrThrow(key.encode(changed)), { ...stored, limits: { burst: "2", window: 60 } })
    const entry = { value: read, revision: 1, source: "stored" as const, stale: false }
    assert.deepStrictEqual(Schema.encodeUnknownSync(Entry.schema(key))(entry).value, stored)
  })

  it("what a document holds beyond its schema changes no verdict: what a schema refuses is refused as before, a declared name is never taken for another", () => {
    const { decode } = ConfigKey.make("n", "k", {
      schema: Schema.Struct({ a: Schema.Finite, b: Schema.optionalKey(Schema.FiniteFromString) }),
      defaultValue: { a: 1 }
    })
    for (const wrong of [{}, { b: "1" }, { a: "1" }, { a: 1, b: "x" }, { a: 1, b: 2 }, [], null, "a"]) {
      assert.isTrue(Result.isFailure(decode(wrong)), JSON.stringify(wrong))
    }
    assert.deepStrictEqual(
      decode(JSON.parse('{ "a": 1, "__proto__": { "b": 2 } }')),
      Result.succeed(JSON.parse('{ "a": 1, "__proto__": { "b": 2 } }'))
    )
  })
})
