/** Reads what a tenant's database keeps: the history, the soak's journal and the table, all at one moment. */
import { Effect, Schema } from "effect"
import type { Kept } from "../checks/Record.ts"
import type { Database } from "./Database.ts"
import * as Journal from "./Journal.ts"

const RecordRow = Schema.Struct({
  key: Schema.String,
  operation: Schema.Literals(["create", "update", "delete"]),
  revision: Schema.Finite,
  stamp: Schema.NullOr(Schema.String),
  previousRevision: Schema.NullOr(Schema.Finite),
  previousStamp: Schema.NullOr(Schema.String),
  changeId: Schema.String,
  by: Schema.String,
  transaction: Schema.String
})

const Row = Schema.Struct({ key: Schema.String, revision: Schema.Finite, stamp: Schema.String })

const decodeRecords = Schema.decodeUnknownSync(Schema.Array(RecordRow))
const decodeRows = Schema.decodeUnknownSync(Schema.Array(Row))

const selectRecords = `
  SELECT namespace || '/' || key AS key, operation, revision::float8, ${Journal.stampOf("value")} AS stamp,
    previous_revision::float8 AS "previousRevision", ${Journal.stampOf("previous_value")} AS "previousStamp",
    change_id::text AS "changeId", changed_by AS by, transaction_id::text AS transaction
  FROM systemplane_history ORDER BY id`

// To readers, and to the history, an untouched seed is no stored value.
const selectRows = `
  SELECT namespace || '/' || key AS key, revision::float8, ${Journal.stampOf("value")} AS stamp
  FROM systemplane_entries
  WHERE NOT (updated_by ~ '^systemplane.manager:[0-9a-f]{16}$' AND ${Journal.stampOf("value")} = 'default')`

export const read = (database: Database) =>
  database.transaction(
    Effect.gen(function* () {
      yield* database.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
      const journal = Journal.decodeRows(yield* database.run(Journal.select("true")))
      const records = decodeRecords(yield* database.run(selectRecords))
      const rows = decodeRows(yield* database.run(selectRows))
      return { journal, records, rows } satisfies Kept
    })
  )
