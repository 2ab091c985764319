/**
 * Members of `Config` that take a key or its name.
 */
import * as Effect from "effect/Effect"
import type { ConfigError } from "../../schema/ConfigError.ts"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import * as WriteRequest from "../../schema/WriteRequest.ts"
import type { Config } from "../../services/Config.ts"
import type { KeyRegistry } from "../../services/KeyRegistry.ts"
import { failWith, unknownKey } from "../store/ConfigFailure.ts"

/** `get` by a key or by its name, from one by a key. */
export const getBy =
  (
    registry: KeyRegistry["Service"],
    get: <A>(key: ConfigKey<A>) => Effect.Effect<A, ConfigError>
  ): Config["Service"]["get"] =>
  (first: any, name?: string): Effect.Effect<any, ConfigError> => {
    if (name === undefined) return get(first)
    const key = registry.find(first, name)
    return key === undefined
      ? failWith(unknownKey({ namespace: first, key: name }))
      : Effect.flatMap(get(key), (value) => Effect.fromResult(WriteRequest.encode(key, value)))
  }
