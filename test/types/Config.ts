/**
 * The types of `Config` and of keys, as the compiler sees them: `npm run check` fails if one changes. Nothing here is
 * run.
 */
import type { Effect, Scope, Stream } from "effect"
import { Effect as E, Schema } from "effect"
import {
  type Assignment,
  type Change,
  Config,
  type ConfigError,
  ConfigKey,
  type ConfigKeyGroup,
  type ConfigShape,
  type ConfigSnapshot,
  type Entry,
  type NamedEntry,
  type TenantId,
  withTenant
} from "effect-systemplane"
import { expectTypeOf } from "vitest"

// Keys take their type from the schema, not from the default.

const Limit = ConfigKey.make("rate-limits", "requests-per-minute", { schema: Schema.Int, defaultValue: 600 })
expectTypeOf(Limit).toEqualTypeOf<ConfigKey<number>>()

const Checkout = ConfigKey.make("features", "checkout", {
  schema: Schema.Struct({
    mode: Schema.Literals(["off", "on", "canary"]),
    percent: Schema.optionalKey(Schema.Int),
    until: Schema.DateTimeUtcFromString
  }),
  defaultValue: { mode: "off", until: {} as Schema.Schema.Type<typeof Schema.DateTimeUtcFromString> }
})
expectTypeOf<ConfigKey.Value<typeof Checkout>["mode"]>().toEqualTypeOf<"off" | "on" | "canary">()
expectTypeOf<ConfigKey.Value<typeof Checkout>["percent"]>().toEqualTypeOf<number | undefined>()

const Shape = ConfigKey.make("shapes", "shape", {
  schema: Schema.Union([
    Schema.TaggedStruct("Circle", { radius: Schema.Finite }),
    Schema.TaggedStruct("Square", { side: Schema.Finite })
  ]),
  defaultValue: { _tag: "Circle", radius: 1 }
})
expectTypeOf<ConfigKey.Value<typeof Shape>["_tag"]>().toEqualTypeOf<"Circle" | "Square">()

// @ts-expect-error: the default must be of the schema's type
ConfigKey.make("a", "b", { schema: Schema.Int, defaultValue: "600" })
// @ts-expect-error: a default widens no schema
ConfigKey.make("a", "b", { schema: Schema.Literals(["x"]), defaultValue: "y" })
// @ts-expect-error: a default is required
ConfigKey.make("a", "b", { schema: Schema.Int })
// @ts-expect-error: a schema that needs a service cannot be a key's
ConfigKey.make("a", "b", { schema: {} as Schema.Codec<number, number, Config>, defaultValue: 1 })

// A key is invariant: one of a narrower type takes no wider value.
declare const narrow: ConfigKey<"x">
// @ts-expect-error
export const wide: ConfigKey<string> = narrow

const RateLimits = ConfigKey.group("rate-limits", {
  requestsPerMinute: { schema: Schema.Int, defaultValue: 600 },
  greeting: { schema: Schema.String, defaultValue: "hello" }
})
expectTypeOf(RateLimits.keys.requestsPerMinute).toEqualTypeOf<ConfigKey<number>>()
expectTypeOf<ConfigKeyGroup.Values<typeof RateLimits.keys>>().toEqualTypeOf<{
  readonly requestsPerMinute: number
  readonly greeting: string
}>()
// @ts-expect-error: each default must be of its own schema's type
ConfigKey.group("a", { one: { schema: Schema.Int, defaultValue: "1" } })

// Reads.

expectTypeOf(Config.get(Limit)).toEqualTypeOf<Effect.Effect<number, ConfigError, Config>>()
expectTypeOf(Config.get("rate-limits", "x")).toEqualTypeOf<Effect.Effect<Schema.Json, ConfigError, Config>>()
expectTypeOf(Config.getOrDefault(Limit)).toEqualTypeOf<Effect.Effect<number, never, Config>>()
expectTypeOf(Config.entry(Limit)).toEqualTypeOf<Effect.Effect<Entry<number>, ConfigError, Config>>()
expectTypeOf(Config.list("rate-limits")).toEqualTypeOf<Effect.Effect<ReadonlyArray<NamedEntry>, ConfigError, Config>>()
expectTypeOf(Config.snapshot).toEqualTypeOf<Effect.Effect<ConfigSnapshot, ConfigError, Config>>()
expectTypeOf(Config.getGroup(RateLimits)).toEqualTypeOf<
  Effect.Effect<{ readonly requestsPerMinute: number; readonly greeting: string }, ConfigError, Config>
>()

declare const snapshot: ConfigSnapshot
expectTypeOf(snapshot.get(Limit)).toEqualTypeOf<number>()
expectTypeOf(snapshot.entry(Limit)).toEqualTypeOf<Entry<number>>()
expectTypeOf(snapshot.tenant).toEqualTypeOf<TenantId>()

// Subscriptions.

expectTypeOf(Config.watch(Limit)).toEqualTypeOf<Stream.Stream<Entry<number>, ConfigError, Config>>()
expectTypeOf(Config.changes(Limit)).toEqualTypeOf<Stream.Stream<Change<number>, never, Config>>()

declare const handler: (change: Change<number>) => Effect.Effect<void, Error, "a service">
expectTypeOf(Config.onChange(Limit, handler)).toEqualTypeOf<
  Effect.Effect<void, never, "a service" | Scope.Scope | Config>
>()
// @ts-expect-error: a handler takes the changes of its key
Config.onChange(Limit, (change: Change<string>) => E.log(change.value))

// Writes.

expectTypeOf(Config.set(Limit, 1, { actor: "ada" })).toEqualTypeOf<Effect.Effect<Entry<number>, ConfigError, Config>>()
expectTypeOf(Config.remove(Limit, { actor: "ada" })).toEqualTypeOf<Effect.Effect<Entry<number>, ConfigError, Config>>()
expectTypeOf(Config.setAll([ConfigKey.value(Limit, 1)], { actor: "ada" })).toEqualTypeOf<
  Effect.Effect<ReadonlyArray<Entry<unknown>>, ConfigError, Config>
>()
expectTypeOf(ConfigKey.value(Limit, 1)).toEqualTypeOf<Assignment<number>>()
Config.set(Limit, 1, { actor: "ada", ifRevision: 7 })
Config.setAll([ConfigKey.value(Limit, 1, { ifRevision: 0 })], { actor: "ada" })

// @ts-expect-error: a value of another type
Config.set(Limit, "1", { actor: "ada" })
// @ts-expect-error: no value of the union
Config.set(Shape, { _tag: "Triangle" }, { actor: "ada" })
// @ts-expect-error: a write says who writes
Config.set(Limit, 1, {})
// @ts-expect-error
Config.remove(Limit, {})
// @ts-expect-error
ConfigKey.value(Limit, "1")
// @ts-expect-error: in a transaction each assignment has a revision of its own
Config.setAll([ConfigKey.value(Limit, 1)], { actor: "ada", ifRevision: 1 })

// The static members are those of the service, with `Config` required. `get` is overloaded, and tested above.

type Members = Omit<ConfigShape, "get">
expectTypeOf<keyof Members>().extract<keyof typeof Config>().toEqualTypeOf<keyof Members>()

// Tenants: an unchecked id may fail, a checked one may not.

declare const checked: TenantId
expectTypeOf(withTenant("acme")(E.succeed(1))).toEqualTypeOf<Effect.Effect<number, ConfigError>>()
expectTypeOf(withTenant(checked)(E.succeed(1))).toEqualTypeOf<Effect.Effect<number>>()
expectTypeOf(Config.get(Limit).pipe(withTenant("acme"))).toEqualTypeOf<Effect.Effect<number, ConfigError, Config>>()
