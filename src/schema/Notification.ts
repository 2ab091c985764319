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
 * Which entry changed. All other fields are ignored: the payload has a revision too, which older triggers do not send,
 * and newer triggers may send more. A reader needs no revision, since a notification only makes it read.
 *
 * @category models
 * @since 0.1.0
 */
export const Notification = Schema.Struct({
  namespace: Schema.String,
  key: Schema.String,
  op: Schema.Literals(["upsert", "delete"])
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
  const { key, namespace, op } = json
  return Option.some({ namespace, key, op })
}

const parse = (payload: string): any => {
  try {
    return JSON.parse(payload)
  } catch {
    return undefined
  }
}

const isAsExpected = (json: any): json is Notification =>
  typeof json === "object" &&
  json !== null &&
  typeof json.namespace === "string" &&
  typeof json.key === "string" &&
  (json.op === "upsert" || json.op === "delete")
