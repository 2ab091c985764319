/**
 * What readers and subscribers are given.
 *
 * An entry is a value with where it comes from and how fresh it is; a change is what a subscriber receives if the value
 * becomes another one. Both are plain and frozen. Their schemas are for sending them over a wire; the value of a secret
 * key is a part of them.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import type { ConfigKey } from "./ConfigKey.ts"
import * as OpenSchema from "./OpenSchema.ts"
import { TenantId } from "./TenantId.ts"

/**
 * A value with where it comes from and how fresh it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry<out A> {
  readonly value: A
  /** Drawn by the database on every change of the value; per key it only grows. 0 if the default is in force. */
  readonly revision: number
  /** `"history"`: the newest row does not decode, and this is the last value before it that does. */
  readonly source: "stored" | "default" | "history"
  /** When the row was last written, by the database's clock. `undefined` for a default. */
  readonly updatedAt: DateTime.Utc | undefined
  /** Who wrote the row. `undefined` for a default. */
  readonly updatedBy: string | undefined
  /** Nothing keeps this value current at the moment: the feed is down, or nothing confirmed it within the bound. */
  readonly stale: boolean
  /**
   * When the database was asked that last confirmed this value, by this process's clock. `undefined` if it never was.
   * `updatedAt` is by the database's clock, or as a writer has it, and may be later.
   */
  readonly confirmedAt: DateTime.Utc | undefined
  /**
   * The newest row does not decode with the key's schema, so that an older value, or the default, is in force. A write
   * that is to replace that row names its revision (`ifRevision`). The reason never holds the value. Absent if no row
   * is rejected.
   */
  readonly rejected?: { readonly revision: number; readonly reason: string }
}

/**
 * What sends entries over a wire needs of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Entry = {
  /**
   * The schema of a key's entries: their encoded side is JSON, the value as the key's own schema encodes it. A field
   * that is `undefined` is left out.
   *
   * **Gotchas**
   *
   * The value of a secret key is a part of its entry. Send it only to readers who may know it.
   *
   * **Example** (An entry as JSON)
   *
   * ```ts
   * import { Effect, Schema } from "effect"
   * import { Config, Entry, withTenant } from "effect-systemplane"
   * import { SystemplaneMemory } from "effect-systemplane/testing"
   * import { RequestsPerMinute } from "./keys.ts"
   *
   * const EntryJson = Schema.fromJsonString(Entry.schema(RequestsPerMinute))
   *
   * const program = Effect.gen(function* () {
   *   const entry = yield* Config.entry(RequestsPerMinute)
   *   const text = yield* Schema.encodeEffect(EntryJson)(entry)
   *   console.log((yield* Schema.decodeEffect(EntryJson)(text)).value) // 600
   * })
   *
   * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute], tenants: ["acme"] })
   * await program.pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
   * ```
   *
   * @since 0.1.0
   */
  schema: <A>(key: Pick<ConfigKey<A>, "schema">): Schema.Codec<Entry<A>, any> =>
    Schema.Struct({
      value: OpenSchema.open(key.schema),
      revision: Schema.Int,
      source: Schema.Literals(["stored", "default", "history"]),
      updatedAt: Schema.optional(Schema.DateTimeUtcFromString),
      updatedBy: Schema.optional(Schema.String),
      stale: Schema.Boolean,
      confirmedAt: Schema.optional(Schema.DateTimeUtcFromString),
      rejected: Schema.optionalKey(Schema.Struct({ revision: Schema.Int, reason: Schema.String }))
    }) as any
}

/**
 * An entry together with the names of its key.
 *
 * @category models
 * @since 0.1.0
 */
export interface NamedEntry extends Entry<unknown> {
  readonly namespace: string
  readonly key: string
}

/**
 * What a subscriber receives about a key's value in force, for one tenant.
 *
 * **Details**
 *
 * A subscriber sees the changes of a key in order, each newer than the one before. One that falls behind is given the
 * newest, and `previous` is then the value it was last given. Of a tenant whose loaded value is not the
 * default of the code it is first given that value, with the default as `previous`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change<out A> {
  readonly tenant: TenantId
  readonly namespace: string
  readonly key: string
  readonly value: A
  /** 0 if the row was deleted and the default is in force again. */
  readonly revision: number
  /** The value that the subscriber was last given; the default of the code if it was given none. */
  readonly previous: A
  /** When the row was last written, by the database's clock. `undefined` for a default. */
  readonly updatedAt: DateTime.Utc | undefined
  /** Who wrote the row. `undefined` for a default. */
  readonly updatedBy: string | undefined
}

/**
 * What sends changes over a wire needs of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Change = {
  /**
   * The schema of a key's changes: their encoded side is JSON, both values as the key's own schema encodes them. A
   * field that is `undefined` is left out. The values of a secret key are a part of it, and so is the tenant's id.
   *
   * @since 0.1.0
   */
  schema: <A>(key: Pick<ConfigKey<A>, "schema">): Schema.Codec<Change<A>, any> =>
    Schema.Struct({
      tenant: TenantId,
      namespace: Schema.String,
      key: Schema.String,
      value: key.schema,
      revision: Schema.Int,
      previous: key.schema,
      updatedAt: Schema.optional(Schema.DateTimeUtcFromString),
      updatedBy: Schema.optional(Schema.String)
    }) as any
}
