/**
 * How implementations of `Config` and of the cache fail: one constructor for each failure that several of them know.
 */
import * as Effect from "effect/Effect"
import { ConfigError, type ConfigErrorReason, UnknownKey } from "../../schema/ConfigError.ts"
import type { KeyName } from "../../schema/KeyName.ts"

/** Fails with a `ConfigError` for this reason. */
export const failWith = (reason: ConfigErrorReason) => Effect.fail(new ConfigError({ reason }))

/** The reason for a key that was not declared. */
export const unknownKey = ({ key, namespace }: KeyName) => new UnknownKey({ namespace, key })
