import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema, SchemaGetter, SchemaIssue } from "effect"
import { ConfigKey, InvalidConfigKey } from "effect-systemplane"
import * as KeyCodec from "../../src/schema/KeyCodec.ts"

const int = { schema: Schema.Int, defaultValue: 1 }

const failureOf = (result: Result.Result<unknown, string>) => {
  assert.isTrue(Result.isFailure(result))
  return Result.isFailure(result) ? result.failure : ""
}

describe("ConfigKey.make", () => {
  it("ConfigKey.make takes names of 1 to 255 characters that PostgreSQL can hold", () => {
    assert.strictEqual(ConfigKey.make("n", "k".repeat(255), int).key.length, 255)
    for (const name of ["", "k".repeat(256), "a\0b", "\ud800"]) {
      assert.throws(() => ConfigKey.make(name, "k", int), InvalidConfigKey, /namespace must be 1 to 255/)
      assert.throws(() => ConfigKey.make("n", name, int), InvalidConfigKey, /key must be 1 to 255/)
    }
  })

  it("ConfigKey.make checks the default when the key is made, and freezes it", () => {
    assert.throws(
      () => ConfigKey.make("n", "k", { schema: Schema.Int.check(Schema.isGreaterThan(0)), defaultValue: 0 }),
      InvalidConfigKey,
      /default does not satisfy its schema/
    )
    const list = ConfigKey.make("n", "k", { schema: Schema.Array(Schema.Int), defaultValue: [1] })
    assert.isTrue(Object.isFrozen(list.defaultValue))
  })

  it("ConfigKey.make decodes and encodes without repeating the value", () => {
    const key = ConfigKey.make("n", "k", { schema: Schema.Struct({ a: Schema.Int }), defaultValue: { a: 1 } })
    assert.deepStrictEqual(key.decode({ a: 2 }), Result.succeed({ a: 2 }))
    const reason = failureOf(key.decode({ a: "canary" }))
    assert.include(reason, `["a"]`)
    assert.notInclude(reason, "canary")
    assert.notInclude(failureOf(key.encode({ a: "canary" } as any)), "canary")
  })

  it("G5: ConfigKey.make leaves the caller's default as it is, and refuses names that a path would resolve", () => {
    const mine = { list: [1], names: { a: "b" } }
    const schema = Schema.Struct({ list: Schema.Array(Schema.Int), names: Schema.Record(Schema.String, Schema.String) })
    const { defaultValue } = ConfigKey.make("n", "k", { schema, defaultValue: mine })
    mine.list.push(2)
    mine.names.a = "changed"
    assert.deepStrictEqual(defaultValue, { list: [1], names: { a: "b" } })
    assert.isTrue(Object.isFrozen(defaultValue) && Object.isFrozen(defaultValue.names))
    for (const name of [".", ".."]) {
      assert.throws(() => ConfigKey.make(name, "k", { schema: Schema.Int, defaultValue: 1 }))
      assert.throws(() => ConfigKey.make("n", name, { schema: Schema.Int, defaultValue: 1 }))
    }
  })

  it("ConfigKey.make reveals nothing of what was wrong with a secret", () => {
    const key = ConfigKey.make("n", "k", {
      schema: Schema.Record(Schema.String, Schema.Int),
      defaultValue: {},
      secret: true
    })
    assert.notInclude(failureOf(key.decode({ canary: "canary" })), "canary")
  })

  it("ConfigKey.make reveals nothing of a secret if its schema is shared with a key that is not secret", () => {
    const schema = Schema.Record(Schema.String, Schema.Int)
    const [open, secret] = [false, true].map((secret) => ConfigKey.make("n", "k", { schema, defaultValue: {}, secret }))
    assert.include(failureOf(open!.decode({ canary: "text" })), "[*]")
    assert.notInclude(failureOf(secret!.decode({ canary: "text" })), "[*]")
  })

  it("ConfigKey.make names a path only as far as the schema names it: the names of a record's entries are the document's own", () => {
    const schema = Schema.Struct({
      limits: Schema.Record(Schema.String, Schema.Struct({ most: Schema.Int })),
      list: Schema.Array(Schema.Struct({ from: Schema.DateFromString }))
    })
    const { decode } = ConfigKey.make("n", "k", { schema, defaultValue: { limits: {}, list: [] } })
    const reasonOf = (json: unknown) => failureOf(decode(json))
    assert.include(reasonOf({ limits: { canary: { most: "x" } }, list: [] }), `at ["limits"][*]["most"]`)
    assert.include(reasonOf({ limits: { 'limits"]canary': 1 }, list: [] }), `at ["limits"][*]`)
    assert.include(reasonOf({ limits: {}, list: [{ from: 7 }] }), `at ["list"][0]["from"]`)
  })

  it("ConfigKey.make repeats no words of a check about what is stored, and tells them to who writes it", () => {
    const odd = Schema.Finite.check(Schema.makeFilter((n: number) => n % 2 === 1 || `${n} is even`))
    const seven = Schema.Finite.pipe(
      Schema.decodeTo(Schema.Finite, {
        decode: SchemaGetter.transformEffect((n: number) =>
          n === 7 ? Effect.succeed(n) : Effect.fail(new SchemaIssue.InvalidValue({ message: `${n} is not seven` }))
        ),
        encode: SchemaGetter.transform((n: number) => n)
      })
    )
    const list = Schema.Array(Schema.Finite).check(
      Schema.makeFilter((ns) => ns.map((n, i) => ({ path: [i, `${n}`], issue: `${n} is wrong` })))
    )
    const cases: ReadonlyArray<readonly [Schema.Codec<any>, unknown, unknown]> = [
      [odd, 1, 424242],
      [seven, 7, 424242],
      [Schema.Struct({ odd }), { odd: 1 }, { odd: 424242 }],
      [list, [], Array.from({ length: 1_000 }, () => 424242)]
    ]
    for (const [schema, defaultValue, stored] of cases) {
      const key = ConfigKey.make<any>("n", "k", { schema, defaultValue })
      const reason = failureOf(key.decode(stored))
      assert.notInclude(reason, "424242")
      assert.isBelow(reason.length, 500)
      assert.include(failureOf(KeyCodec.of(key.schema, key).decodeGiven(stored)), "424242 is")
    }
    const said = odd.annotate({ message: "odd numbers alone" })
    assert.strictEqual(
      failureOf(ConfigKey.make("n", "k", { schema: said, defaultValue: 1 }).decode(2)),
      "odd numbers alone"
    )
  })

  it("ConfigKey.make rejects a value of a schema that has no end", () => {
    const node = (): Schema.Codec<any> =>
      Schema.Struct({ a: Schema.Int, next: Schema.optional(Schema.suspend(() => node())) })
    const { decode } = ConfigKey.make("n", "k", { schema: node(), defaultValue: { a: 1 } })
    assert.include(failureOf(decode({ a: 1, next: { a: "x" } })), `at ["next"]["a"]`)
  })

  it("ConfigKey.make survives a schema that throws, or that cannot be applied at once", () => {
    const asynchronous = Schema.Int.pipe(
      Schema.decodeTo(Schema.Int, {
        decode: SchemaGetter.transformEffect((n: number) => Effect.as(Effect.sleep(1), n)),
        encode: SchemaGetter.transform((n: number) => n)
      })
    )
    const throwing = Schema.Int.pipe(
      Schema.decodeTo(Schema.Int, {
        decode: SchemaGetter.transform((): number => {
          throw new Error("canary")
        }),
        encode: SchemaGetter.transform((n: number) => n)
      })
    )
    for (const schema of [asynchronous, throwing]) {
      const key = ConfigKey.make("n", "k", { schema, defaultValue: 1 })
      assert.notInclude(failureOf(key.decode(1)), "canary")
    }
  })
})

describe("ConfigKey.group", () => {
  it("ConfigKey.group names the keys of its fields in kebab-case", () => {
    const limits = ConfigKey.group("limits", { requestsPerMinute: int, burst: int })
    assert.deepStrictEqual(
      limits.all.map(({ key, namespace }) => [namespace, key]),
      [
        ["limits", "requests-per-minute"],
        ["limits", "burst"]
      ]
    )
    assert.strictEqual(limits.keys.burst, limits.all[1])
  })
})
