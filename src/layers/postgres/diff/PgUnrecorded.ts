/**
 * Whether rows that a session took differ from their last records in the history: each is compared once, by the
 * verification after it was taken.
 *
 * What was written with the triggers disabled has no record. It is taken like any other row, by its notification or by
 * a verification, and would stay without a record if only what differs from the snapshot were looked at.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { KeyName } from "../../../schema/KeyName.ts"
import type { Query } from "../../../services/Connector.ts"
import * as PgRows from "../PgRows.ts"
import { mostKeys } from "./PgCursorRead.ts"
import * as PgNamespaceScan from "./PgNamespaceScan.ts"

/**
 * Whether a row differs from the last record of its key: among the rows of the namespaces and of these names. A secret
 * is compared by its revision. `LATERAL` is one look into an index for each key, however long the history is.
 */
export const selectUnrecorded = `
  SELECT EXISTS (
    SELECT FROM (
      (SELECT e.namespace, e.key FROM systemplane_entries AS e WHERE e.namespace = ANY ($1::text[]) LIMIT $2)
      UNION
      SELECT n.namespace, n.key FROM unnest($3::text[], $4::text[]) AS n (namespace, key)
    ) AS k
    LEFT JOIN LATERAL (
      SELECT e.revision, e.value FROM systemplane_entries AS e
      WHERE e.namespace = k.namespace AND e.key = k.key AND ${PgRows.isStored} LIMIT 1
    ) AS e ON true
    LEFT JOIN LATERAL (
      SELECT h.operation, h.revision, h.value, h.redacted FROM systemplane_history AS h
      WHERE h.namespace = k.namespace AND h.key = k.key ORDER BY h.id DESC LIMIT 1
    ) AS h ON true
    WHERE e.revision IS DISTINCT FROM CASE WHEN h.operation <> 'delete' THEN h.revision END
      OR e.revision IS NOT NULL AND h.redacted IS NOT TRUE AND e.value IS DISTINCT FROM h.value
  ) AS unrecorded`

const Unrecorded = Schema.NonEmptyArray(Schema.Struct({ unrecorded: Schema.Boolean }))
const decodeUnrecorded = Schema.decodeUnknownEffect(Unrecorded)

/** Keeps which rows of a session are not compared yet: all of them at first. `onFound` runs if one has no record. */
export const make = (query: Query, keys: ReadonlyArray<KeyName>, onFound: () => void) => {
  let uncompared: Map<string, KeyName> | "all" = "all"
  return {
    /** A row of this name was taken, or found gone. */
    took: ({ key, namespace }: KeyName): void => {
      if (uncompared === "all") return
      uncompared.set(PgNamespaceScan.nameOf({ namespace, key }), { namespace, key })
      if (uncompared.size > mostKeys) uncompared = "all"
    },
    /** Compares what was taken since the last time. */
    compare: Effect.suspend((): Effect.Effect<void, SqlError> => {
      const names = uncompared
      uncompared = new Map()
      if (names !== "all" && names.size === 0) return Effect.void
      return query(selectUnrecorded, [
        names === "all" ? PgNamespaceScan.namespacesOf(keys) : "{}",
        PgNamespaceScan.most(keys) + 1,
        ...PgRows.namesOf(names === "all" ? keys : [...names.values()])
      ]).pipe(
        Effect.flatMap(decodeUnrecorded),
        Effect.flatMap(([{ unrecorded }]) => (unrecorded ? Effect.sync(onFound) : Effect.void)),
        PgRows.unexpectedShape,
        Effect.onError(() =>
          Effect.sync(() => {
            uncompared = "all"
          })
        )
      )
    })
  }
}
