/**
 * What a reader does to a value that it was handed stays with that reader, whatever kind of value it is and however it
 * was read.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Schema, SchemaTransformation, Stream } from "effect"
import { Config, ConfigKey, TenantManager, withTenant } from "effect-systemplane"
import { SystemplaneMemory } from "effect-systemplane/testing"
import * as fc from "fast-check"

class Span extends Schema.Class<Span>("Span")({ from: Schema.DateFromString, tags: Schema.Array(Schema.String) }) {}
class Point extends Schema.Class<Point>("Point")({ x: Schema.Finite, more: Schema.Json }) {}
class Counter {
  count: number
  constructor(count: number) {
    this.count = count
  }
}

const CounterFromNumber = Schema.Finite.pipe(
  Schema.decodeTo(
    Schema.instanceOf(Counter),
    SchemaTransformation.transform({ decode: (n) => new Counter(n), encode: ({ count }) => count })
  )
)

/** A schema, and the values of it that a number makes. */
type Kind = readonly [schema: Schema.Codec<any, any>, of: (n: number) => any]

const leaves: ReadonlyArray<Kind> = [
  [Schema.Finite, (n) => n],
  [Schema.DateFromString, (n) => new Date(n * 1000)],
  [Schema.toCodecJson(Schema.ReadonlyMap(Schema.String, Schema.Json)), (n) => new Map([["n", { n: [n] }]])],
  [Schema.toCodecJson(Schema.ReadonlySet(Schema.Finite)), (n) => new Set([n])],
  [Schema.Uint8ArrayFromBase64, (n) => Uint8Array.of(n)],
  [Schema.URLFromString, (n) => new URL(`https://host/${n}`)],
  [Schema.DurationFromMillis, (n) => Duration.millis(n)],
  [Schema.Json, (n) => ({ deep: [{ n }] })],
  [Span, (n) => new Span({ from: new Date(n), tags: [`${n}`] })],
  [Point, (n) => new Point({ x: n, more: [{ n }] })],
  [CounterFromNumber, (n) => new Counter(n)]
]

const kinds = fc.letrec<{ kind: Kind }>((tie) => ({
  kind: fc.oneof(
    { maxDepth: 2, depthSize: "small" },
    fc.constantFrom(...leaves),
    fc
      .tuple(tie("kind"), tie("kind"))
      .map(([[a, ofA], [b, ofB]]): Kind => [Schema.Struct({ a, b }), (n) => ({ a: ofA(n), b: ofB(n) })]),
    tie("kind").map(([item, of]): Kind => [Schema.Array(item), (n) => [of(n), of(n)]]),
    tie("kind").map(([item, of]): Kind => [Schema.Record(Schema.String, item), (n) => ({ [`key${n}`]: of(n) })]),
    tie("kind").map(([item, of]): Kind => [Schema.OptionFromNullOr(item), (n) => Option.some(of(n))])
  )
})).kind

/** Does to a value all that its reader could. */
const spoil = (value: any): void => {
  if (typeof value !== "object" || value === null) return
  const attempt = (change: () => unknown) => {
    try {
      change()
    } catch {
      // It cannot be changed.
    }
  }
  if (Option.isOption(value)) spoil(Option.getOrUndefined(value))
  if (Option.isOption(value) || Duration.isDuration(value)) return
  for (const part of value instanceof Map || value instanceof Set ? value.values() : Object.values(value)) spoil(part)
  if (value instanceof Date) value.setTime(7)
  if (value instanceof URL) value.pathname = "/spoiled"
  if (value instanceof Map || value instanceof Set) value.clear()
  if (value instanceof Uint8Array) value.fill(255)
  for (const name of Object.keys(value)) attempt(() => (value[name] = "spoiled"))
  if (Array.isArray(value)) attempt(() => value.push("spoiled"))
  attempt(() => (value.spoiled = true))
}

const encoded = ([schema]: Kind, value: unknown) => JSON.stringify(Schema.encodeUnknownSync(schema)(value))

const check = (kind: Kind) =>
  Effect.gen(function* () {
    const [schema, of] = kind
    const own = of(1)
    const key = ConfigKey.make("odd", "key", { schema, defaultValue: own })
    const isHeldBy = (value: unknown, expected: unknown, way: number | string) =>
      assert.strictEqual(encoded(kind, value), encoded(kind, expected), `${way}`)
    const read = (expected: unknown, ways: ReadonlyArray<Effect.Effect<unknown, unknown, Config>>) =>
      Effect.gen(function* () {
        for (const [i, way] of [...ways, ...ways].entries()) {
          const value = yield* way
          isHeldBy(value, expected, i)
          spoil(value)
        }
      })
    yield* Effect.gen(function* () {
      const snapshot = yield* Config.snapshot
      const handle = yield* Config.handle(key)
      const ways = [
        Config.get(key),
        Effect.map(Config.entry(key), ({ value }) => value),
        Effect.map(Config.list("odd"), ([entry]) => entry!.value),
        Effect.sync(() => handle.current),
        Effect.sync(() => handle.entry.value),
        Effect.map(Config.snapshot, (snapshot) => snapshot.get(key)),
        Effect.map(Config.snapshot, (snapshot) => snapshot.entry(key).value),
        Effect.map(Config.watch(key).pipe(Stream.take(1), Stream.runCollect), ([entry]) => entry!.value),
        Config.getOrDefault(key)
      ]
      const old = [Effect.sync(() => snapshot.get(key)), Effect.sync(() => key.defaultValue)]
      yield* read(of(1), [...ways, ...old])
      const written = of(2)
      spoil((yield* Config.set(key, written, { actor: "test" })).value)
      spoil(written)
      yield* read(of(2), ways)
      yield* read(of(1), old)
      // Reads that go to the database, and share one statement.
      yield* Effect.flatMap(TenantManager, (manager) => manager.suspend("acme"))
      const [a, b] = yield* Effect.all([Config.get(key), Config.get(key)], { concurrency: 2 })
      spoil(a)
      isHeldBy(b, of(2), "shared")
      yield* read(of(2), ways.slice(0, 3))
    }).pipe(withTenant("acme"), Effect.provide(SystemplaneMemory({ keys: [key], tenants: ["acme"] })))
    // The caller's own default is the caller's to change.
    spoil(own)
    if (typeof own === "object" && !isImmutable(own)) assert.notStrictEqual(encodedOr(kind, own), encoded(kind, of(1)))
    isHeldBy(key.defaultValue, of(1), "default")
  })

const isImmutable = (value: unknown) => Option.isOption(value) || Duration.isDuration(value)

/** What is spoiled may not be a value of its schema any more. */
const encodedOr = (kind: Kind, value: unknown) => {
  try {
    return encoded(kind, value)
  } catch {
    return undefined
  }
}

describe("a value that is handed out", () => {
  it("G5: what one reader does to it no other reader sees, of any kind of schema", () =>
    fc.assert(
      fc.asyncProperty(kinds, (kind) => Effect.runPromise(check(kind))),
      { numRuns: 40, examples: leaves.map((kind): [Kind] => [kind]) }
    ))
})
