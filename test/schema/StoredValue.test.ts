import { assert, describe, it } from "@effect/vitest"
import { BigDecimal, Result, Schema } from "effect"
import { ConfigKey } from "effect-systemplane"
import * as StoredValue from "../../src/schema/StoredValue.ts"

const keyOf = <A>(schema: Schema.Codec<A, any>, defaultValue: A) => ConfigKey.make("n", "k", { schema, defaultValue })
const any = keyOf(Schema.Json, null)
const number = keyOf(Schema.Number, 0)

const decode = (key: ConfigKey.Any, text: string) => StoredValue.decode(key, StoredValue.parse(text))

describe("the text of a stored value", () => {
  it("G6: a number that a double cannot hold is rejected, wherever it is and whatever the schema takes", () => {
    for (const token of [
      "1e400",
      "-1e400",
      "9007199254740993",
      "0.12345678901234567890",
      `1${"0".repeat(309)}`,
      "1e-400"
    ]) {
      for (const text of [token, `[1, ${token}]`, `{"a": {"b": [${token}]}, "10": 1, "9": 2}`]) {
        assert.isTrue(Result.isFailure(decode(any, text)), text)
      }
      assert.isTrue(Result.isFailure(decode(number, token)), token)
      assert.isTrue(Result.isFailure(decode(keyOf(Schema.String, ""), token)), token)
    }
  })

  it("the text of a stored value takes every number that a double holds, however PostgreSQL writes it", () => {
    for (const value of [
      0,
      0.1,
      -1.5,
      2 ** 53,
      2 ** 60,
      1e300,
      Number.MAX_VALUE,
      5e-324,
      1 / 3,
      123456789012345680000
    ]) {
      const plain = value.toLocaleString("en", { useGrouping: false, maximumSignificantDigits: 17 })
      for (const text of [String(value), Math.abs(value) >= 1 ? plain : String(value)]) {
        assert.deepStrictEqual(decode(number, text), Result.succeed(value), text)
      }
      assert.deepStrictEqual(
        decode(any, `{"9007199254740993": "9007199254740993", "x": ${value}}`),
        Result.succeed({
          "9007199254740993": "9007199254740993",
          x: value
        })
      )
    }
  })

  it("the text of a stored value hands the digits to a schema of big integers and decimals", () => {
    const schema = Schema.Struct({ n: Schema.BigIntFromString, list: Schema.Array(Schema.BigDecimalFromString) })
    const key = keyOf(schema, { n: 0n, list: [] })
    const decoded = Result.getOrThrow(
      decode(key, `{"n": 9007199254740993, "list": [0.12345678901234567890, 123456789012345678901]}`)
    ) as typeof schema.Type
    assert.strictEqual(decoded.n, 9007199254740993n)
    assert.isTrue(BigDecimal.equals(decoded.list[0]!, BigDecimal.fromStringUnsafe("0.1234567890123456789")))
    assert.isTrue(BigDecimal.equals(decoded.list[1]!, BigDecimal.fromStringUnsafe("123456789012345678901")))
  })

  it("the text of a stored value hands them over in the place that they have, whatever the names of the properties around them", () => {
    // JavaScript lists names that are whole numbers first, and PostgreSQL lists short ones first.
    const schema = Schema.Record(Schema.String, Schema.Union([Schema.BigIntFromString, Schema.Number]))
    const text = `{"a": 9007199254740992, "10": 9007199254740993, "__proto__": 123456789012345678901}`
    const decoded: any = Result.getOrThrow(decode(keyOf(schema, {}), text))
    assert.deepStrictEqual(Object.entries(decoded), [
      ["10", 9007199254740993n],
      ["a", 9007199254740992],
      ["__proto__", 123456789012345678901n]
    ])
  })

  it("G6: a stored value is read in a moment, whatever digits are in it", () => {
    const digits = ["1", "0.", "0.0", "10.0"].map((start) => `${start}${"0".repeat(16_000)}1`)
    const text = `[${Array.from({ length: 60 }, (_, i) => digits[i % digits.length]).join(", ")}]`
    assert.isTrue(Result.isFailure(decode(any, text)))
  })

  it("G6: a stored value is rejected beyond the bounds on depth and length, and taken up to them", () => {
    const nested = (depth: number, open: string, close: string) => `${open.repeat(depth)}1${close.repeat(depth)}`
    for (const [open, close] of [
      ["[", "]"],
      [`{"a":`, "}"]
    ] as const) {
      assert.isTrue(Result.isSuccess(decode(any, nested(StoredValue.maxDepth, open, close))))
      for (const depth of [StoredValue.maxDepth + 1, 5_000, 200_000]) {
        const rejected = decode(any, nested(depth, open, close))
        assert.isTrue(Result.isFailure(rejected))
        assert.include((rejected as any).failure, "200 levels")
      }
    }
    assert.isTrue(Result.isSuccess(decode(any, JSON.stringify(`${"[".repeat(1_000)}\\"`))))
    assert.isTrue(Result.isSuccess(decode(any, JSON.stringify(Array.from({ length: 500 }, () => [])))))
    const tooLong = StoredValue.decode(any, StoredValue.tooLong(2_000_000))
    assert.include((tooLong as any).failure, "2000000 bytes")
  })

  it("G6: rejects a value whose schema throws, without the text of what was thrown", () => {
    const key = { decode: () => assert.fail("canary") }
    assert.deepStrictEqual(StoredValue.decode(key, StoredValue.parse("1")), Result.fail("its schema threw"))
    // Also if the value throws when its digits are looked for.
    const throwing = {
      decode: () =>
        Result.succeed({
          get n() {
            return assert.fail("canary")
          }
        })
    }
    const row = StoredValue.parse('{"n": 9007199254740993}')
    assert.deepStrictEqual(StoredValue.decode(throwing, row), Result.fail("its schema threw"))
  })
})
