/**
 * The payload of a notification on the channel `systemplane_changes`. It carries names, never a value: every role that
 * may connect to a database may listen on all of its channels (https://www.postgresql.org/docs/18/sql-listen.html).
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
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

const decodeAsSchema = Schema.decodeUnknownOption(Schema.fromJsonString(Notification))

/**
 * Decodes a payload; `None` if it is malformed.
 *
 * **Details**
 *
 * A transaction may send 10,000 payloads, so those of our own triggers are recognised by their shape. All others are
 * decoded by the schema, which has the last word.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (payload: string): Option.Option<Notification> => {
  const json = parse(payload)
  if (!isAsExpected(json)) return decodeAsSchema(payload)
  const { key, namespace, op, revision } = json
  return Option.some({ namespace, key, op, revision })
}

const parse = (payload: string): any => {
  try {
    return JSON.parse(payload)
  } catch {
    return undefined
  }
}

const isAsExpected = (json: any): json is Required<Notification> =>
  typeof json === "object" &&
  json !== null &&
  typeof json.namespace === "string" &&
  typeof json.key === "string" &&
  (json.op === "upsert" || json.op === "delete") &&
  Number.isSafeInteger(json.revision)
