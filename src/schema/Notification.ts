/**
 * The payload of a notification on the channel `systemplane_changes`. It carries names, never a value: every role that
 * may connect to a database may listen on all of its channels (https://www.postgresql.org/docs/18/sql-listen.html).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** @since 0.1.0 */
export const channel = "systemplane_changes"

/**
 * Unknown fields are ignored and `revision` may be missing: triggers installed by older services send less, and newer
 * ones may send more.
 *
 * @category models
 * @since 0.1.0
 */
export const Notification = Schema.Struct({
  namespace: Schema.String,
  key: Schema.String,
  op: Schema.Literals(["upsert", "delete"]),
  revision: Schema.optionalKey(Schema.Int)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Notification = typeof Notification.Type

/**
 * Decodes a payload; `None` where it is malformed.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Notification))
