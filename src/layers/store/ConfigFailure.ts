/**
 * How implementations of `Config` and of the cache fail: one constructor for each failure that several of them know.
 */
import * as Effect from "effect/Effect"
import { ConfigError, type ConfigErrorReason, UnknownKey } from "../../schema/ConfigError.ts"
import type { KeyName } from "../../schema/KeyName.ts"

/** Fails with a `ConfigError` for this reason. */
export const failWith = (reason: ConfigErrorReason) => Effect.fail(new ConfigError({ reason }))

/** The reason for a key that was not declared. What was given may be no key at all. */
export const unknownKey = (given: KeyName) =>
  new UnknownKey({ namespace: nameIn(given, "namespace"), key: nameIn(given, "key") })

/** The reason for a namespace of which no key was declared. */
export const unknownNamespace = (namespace: string) => unknownKey({ namespace, key: "*" })

const nameIn = (given: KeyName | null | undefined, name: keyof KeyName): string => {
  try {
    const text: unknown = given?.[name]
    return typeof text === "string" ? text : "?"
  } catch {
    return "?"
  }
}

/**
 * Whether a read failed because it names no tenant that exists: no value may be answered then, not even a default (G5).
 */
export const namesNoTenant = ({ reason }: { readonly reason: { readonly _tag: string } }): boolean =>
  reason._tag === "TenantMissing" || reason._tag === "UnknownTenant"
