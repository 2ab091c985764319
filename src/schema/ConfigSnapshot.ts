/**
 * An immutable image of all keys of a tenant at one moment.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { ConfigError } from "./ConfigError.ts"
import type { ConfigKey, ConfigKeyGroup } from "./ConfigKey.ts"
import type { Entry } from "./Entry.ts"
import type { TenantId } from "./TenantId.ts"

/**
 * An immutable image of a tenant's configuration: the way to read many keys in one request.
 *
 * **Details**
 *
 * Taking one costs the same however many keys there are, and reading from it is synchronous. It never mixes two states:
 * keys written in one transaction are all old in it, or all new. It does not follow later changes.
 *
 * **Gotchas**
 *
 * Both methods throw a `ConfigError`: `UnknownKey` for a key that was not declared, `NotSupported` for one beyond
 * `maxEntriesPerTenant`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigSnapshot {
  readonly tenant: TenantId
  /** The value in force. */
  readonly get: <A>(key: ConfigKey<A>) => A
  /** The value in force with its revision, source and freshness. */
  readonly entry: <A>(key: ConfigKey<A>) => Entry<A>
}

/** The values of a group as one record; fails with what reading a key throws. */
export const readGroup = <F extends ConfigKeyGroup.Fields>(
  snapshot: ConfigSnapshot,
  group: ConfigKeyGroup<F>
): Result.Result<ConfigKeyGroup.Values<F>, ConfigError> =>
  Result.try({
    try: () =>
      Object.fromEntries(
        Object.entries(group.keys).map(([field, key]) => [field, snapshot.get(key)])
      ) as ConfigKeyGroup.Values<F>,
    catch: (error) => error as ConfigError
  })
