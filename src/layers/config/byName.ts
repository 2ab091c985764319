/**
 * What the implementations of `Config` have in common.
 */
import * as Effect from "effect/Effect"
import { ConfigError, type ConfigErrorReason, UnknownKey } from "../../schema/ConfigError.ts"
import type { Assignment, ConfigKey } from "../../schema/ConfigKey.ts"
import * as WriteRequest from "../../schema/WriteRequest.ts"
import type { Config } from "../../services/Config.ts"
import type { KeyRegistry } from "../../services/KeyRegistry.ts"
import * as Redaction from "../telemetry/Redaction.ts"

export const failWith = (reason: ConfigErrorReason) => Effect.fail(new ConfigError({ reason }))

export const unknownKey = ({ key, namespace }: { readonly namespace: string; readonly key: string }) =>
  new UnknownKey({ namespace, key })

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

/** The span of a write of one key. */
export const writeSpan = (name: "Config.set" | "Config.remove", { key, namespace }: ConfigKey.Any, actor: string) =>
  Redaction.withSpan(name, { namespace, key, actor })

/** The span of a write of several keys. */
export const writesSpan = (assignments: ReadonlyArray<Assignment.Any>, actor: string) =>
  Redaction.withSpan("Config.setAll", { keys: assignments.map(({ key }) => `${key.namespace}/${key.key}`), actor })
