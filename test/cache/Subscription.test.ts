import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema, SchemaTransformation } from "effect"
import { ConfigKey, TenantId } from "effect-systemplane"
import * as Subscription from "../../src/layers/cache/Subscription.ts"
import * as ReaderOwned from "../../src/schema/ReaderOwned.ts"

/** What it holds is seen by its method alone. */
class Sealed {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  show() {
    return this.#text
  }
}

const sealed = Schema.String.pipe(
  Schema.decodeTo(
    Schema.declare((value): value is Sealed => value instanceof Sealed),
    SchemaTransformation.transform({ decode: (text) => new Sealed(text), encode: (value) => value.show() })
  )
)
const params = Schema.toCodecJson(Schema.URLSearchParams)

const make = (schema: Schema.Codec<any, any>, json: unknown) =>
  ConfigKey.make("any", "key", { schema, defaultValue: Schema.decodeUnknownSync(schema)(json) })

const members = [
  ["URLSearchParams", make(params, "a=1"), "a=1", "a=2"],
  ["an instance of a class", make(sealed, "a"), "a", "b"],
  [
    "one inside a document",
    make(Schema.Struct({ list: Schema.Array(params) }), { list: ["a=1"] }),
    { list: ["a=1"] },
    { list: ["a=2"] }
  ],
  [
    "a document with a property of Effect",
    make(Schema.Json, { "~effect/Equal": 1 }),
    { "~effect/Equal": 1 },
    { "~effect/Equal": 2 }
  ]
] as const

describe("what a subscriber is told when a tenant is loaded", () => {
  for (const [what, key, json, other] of members) {
    it.effect(`G8: a value of ${what} is told to a subscriber if it differs, and not if it is equal`, () =>
      Effect.gen(function* () {
        const tenant = TenantId.make("acme")
        const subscription = Subscription.make(key)
        const load = (json: unknown, revision: number) => {
          const again = () => key.decode(structuredClone(json))
          const value = ReaderOwned.hold(Result.getOrThrow(again()), again)
          subscription.offer(tenant, { value, revision, updatedAt: undefined, updatedBy: undefined, loaded: true })
        }
        load(json, 1)
        load(other, 2)
        load(other, 3)
        load(json, 4)
        const told = yield* subscription.take
        const revisions = told.map(({ revision }) => revision)
        assert.deepStrictEqual(revisions, [4], "the last one differs from the one before")
        load(json, 5)
        load(other, 6)
        load(other, 7)
        assert.deepStrictEqual(
          (yield* subscription.take).map(({ revision }) => revision),
          [6]
        )
      })
    )
  }
})
