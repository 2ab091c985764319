/**
 * The identity of a tenant.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * One customer, one database: 1 to 256 ASCII letters, digits, `_` and `-`, starting with a letter or a digit.
 *
 * **Details**
 *
 * The alphabet is chosen so that an id can stand in a database name, a URL, a metric label and a log line without
 * being escaped.
 *
 * @category models
 * @since 0.1.0
 */
export const TenantId = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$/, {
    description: "1 to 256 letters, digits, _ or -, starting with a letter or a digit"
  })
).pipe(Schema.brand("TenantId"))

/**
 * @category models
 * @since 0.1.0
 */
export type TenantId = typeof TenantId.Type

/**
 * Parses an id that comes from outside. `None` if it is malformed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parse = Schema.decodeUnknownOption(TenantId)
