/**
 * A live value of one key of one tenant, for hot paths.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { Entry } from "../schema/Entry.ts"
import type { TenantId } from "../schema/TenantId.ts"

/**
 * The live value of a key for the tenant that was current when the handle was made, in whichever fiber it is read.
 *
 * **Details**
 *
 * A read looks up nothing and never does I/O. It answers what this process last knew. While the tenant is live, that is
 * the value in force. While it is disconnected, stale, suspended or removed, it is the last known value, and
 * `entry.stale` is `true`. A handle survives all of these: once the tenant is followed again, the handle follows it
 * too.
 *
 * A handle is an effect too, that succeeds with `current`. `yield* handle` in a generator costs next to nothing, since
 * it never leaves the generator.
 *
 * **Gotchas**
 *
 * If a value that is too old must not be used, use `Config.get`: it asks the database if memory cannot be trusted.
 *
 * **Example** (A limit that every request checks)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Config, withTenant } from "effect-systemplane"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const makeLimiter = Effect.gen(function*() {
 *   const limit = yield* Config.handle(RequestsPerMinute)
 *   return { isAllowed: (sent: number) => sent < limit.current }
 * }).pipe(withTenant("acme"))
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigHandle<out A> extends Effect.Effect<A> {
  readonly tenant: TenantId
  /** The last known value. */
  readonly current: A
  /** The last known value with its revision, source and freshness: `stale` unless the tenant is live. */
  readonly entry: Entry<A>
  [Symbol.iterator](): Effect.EffectIterator<ConfigHandle<A>>
}
