/**
 * What an application says of a key, as the catalogue of a tenant's database holds it.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { ConfigKey } from "../ConfigKey.ts"
import * as JsonText from "../JsonText.ts"
import * as KeySchema from "./KeySchema.ts"

/**
 * One application's declaration of a key. Default and examples of a secret are in none of its declarations.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyDeclaration {
  readonly namespace: string
  readonly key: string
  readonly secret: boolean
  readonly description: string | undefined
  readonly owner: string | undefined
  /** JSON Schema 2020-12 of what the key decodes. */
  readonly schema: JsonText.Json
  /** Whether the JSON Schema takes nothing that the key refuses. */
  readonly exact: boolean
  readonly defaultValue: JsonText.Json | undefined
  readonly examples: ReadonlyArray<JsonText.Json> | undefined
}

/** The declaration of a key. What `jsonb` cannot hold is left out of it. */
export const of = (key: ConfigKey.Any): KeyDeclaration => {
  const { exact, schema } = KeySchema.of(key.schema)
  const storable = (value: unknown) => Result.isSuccess(JsonText.encode(value))
  const encoded = (value: unknown) => {
    const json = key.encode(value)
    return !key.secret && Result.isSuccess(json) && storable(json.success) ? json.success : undefined
  }
  const examples = key.examples.map(encoded).filter((example) => example !== undefined)
  return {
    namespace: key.namespace,
    key: key.key,
    secret: key.secret,
    description: storable(key.description) ? key.description : undefined,
    owner: storable(key.owner) ? key.owner : undefined,
    schema: storable(schema) ? schema : {},
    exact: exact && storable(schema),
    defaultValue: encoded(key.defaultValue),
    examples: examples.length > 0 ? examples : undefined
  }
}

/**
 * A key as the catalogue shows it: the newest declaration of it, and who made one.
 *
 * @category models
 * @since 0.1.0
 */
export interface CatalogKey extends KeyDeclaration {
  /** `application@version` of all that declare it, the newest first. */
  readonly declaredBy: ReadonlyArray<string>
}

/**
 * What a tenant's database knows of keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface Catalog {
  /** In the order of their names. */
  readonly keys: ReadonlyArray<CatalogKey>
  /** Stored entries that no application declares. */
  readonly unknown: ReadonlyArray<{ readonly namespace: string; readonly key: string }>
}
