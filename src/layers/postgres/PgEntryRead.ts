/**
 * The read of one entry: one round trip.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { EntryRow } from "../../schema/EntryRow.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import type { Query } from "../../services/Connector.ts"
import { columns, decodeRows, isStored, nameTwice, unexpectedShape } from "./PgRows.ts"

/** The statement of `read`. Exported so that tests recognise it by identity. */
export const selectRow = `SELECT ${columns} FROM systemplane_entries AS e
  WHERE e.namespace = $1 AND e.key = $2 AND ${isStored}`

/** The row of a key; none if it is an untouched seed. */
export const read = (query: Query, { key, namespace }: KeyName): Effect.Effect<Option.Option<EntryRow>, SqlError> =>
  query(selectRow, [namespace, key]).pipe(
    Effect.flatMap(decodeRows),
    Effect.flatMap((rows) => (rows.length > 1 ? nameTwice : Effect.succeed(Option.fromUndefinedOr(rows[0])))),
    unexpectedShape
  )
