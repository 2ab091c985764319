/**
 * The statement that writes: any number of keys in one round trip, all of them or none, guarded or not, as one change.
 *
 * It first locks the rows that exist, in the order of their names, so that two writers wait for each other's rows and
 * never for each other in a circle. What the locked rows say decides about the guards: under `READ COMMITTED` a row
 * that was waited for is looked at as its last writer left it. Then it writes, if no guard is hurt. The settings that
 * name the change travel in the same statement, and end with it: a pooler may give the next one to another session.
 *
 * The second statement asks the history what became of a change.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import { isChange } from "../../schema/ddl/DdlChange.ts"
import type { EntryRow } from "../../schema/EntryRow.ts"
import * as SecretNames from "../../schema/SecretNames.ts"
import type { ChangeRequest, Written } from "../../schema/WriteRequest.ts"
import type { Query } from "../../services/Connector.ts"
import type { ChangeOutcome, EntryWrite } from "../../services/EntryStore.ts"
import { writeLockTimeout } from "../runtime/Timeouts.ts"
import * as PgOtherTriggers from "./PgOtherTriggers.ts"
import { arrayOf, columns, decodeRows, inRange, isStored, shownRevision, unexpectedShape } from "./PgRows.ts"

/**
 * Set in the statement itself, since a pooler may give the next one to another session. The bound on waiting for a lock
 * is looked at whenever a wait begins, unlike `statement_timeout`.
 */
export const settings = (id: string, actor: string, reason: string, secrets: string) => `
  SELECT
    pg_catalog.set_config('lock_timeout', coalesce(nullif(pg_catalog.current_setting('lock_timeout'), '0'), '${writeLockTimeout}'), true),
    pg_catalog.set_config('systemplane.change', ${id}::text, true),
    pg_catalog.set_config('systemplane.actor', ${actor}::text, true),
    pg_catalog.set_config('systemplane.reason', ${reason}::text, true),
    pg_catalog.set_config('systemplane.secret', ${secrets}::text, true),
    pg_catalog.set_config('systemplane.once', 'on', true)`

const asked =
  "unnest($1::text[], $2::text[], $3::text[], $4::int8[]) WITH ORDINALITY AS a (namespace, key, value, guard, place)"

/** The SQLSTATE of the cast below: no column of the statement is a date. */
export const torn = "22007"

/** The SQLSTATE of the unit below, which there is not: a trigger of others skipped a row, or renamed it. */
export const skipped = "22023"

const tornText = `pg_catalog.concat('effect-systemplane: ', c.wanted - c.written, ' entries were changed by others meanwhile; tried again')`

// A row that came into being after the statement began was not locked: its guard fails only as it is written. Nothing
// but an error takes back what the statement has written by then, and plain SQL raises none: a cast of a text that
// tells the operator why does. A row that was locked, or is written whatever there is, is left out by nothing but a
// trigger: of ours, since the change took effect before, or of others, which may have written something else; so a
// statement that wrote nothing is taken back as well if there are others.
const whole = `
  SELECT CASE WHEN c.written < c.wanted THEN
    CASE WHEN ${PgOtherTriggers.mayChangeRows} THEN
      CASE WHEN EXISTS (SELECT FROM allowed AS a WHERE a.value IS NOT NULL AND a.guard IS NOT NULL AND NOT a.there)
        THEN ${tornText}::date
        ELSE pg_catalog.date_trunc(pg_catalog.concat('effect-systemplane: a trigger skipped ', c.wanted - c.written, ' entries'), now()) END
    WHEN c.written > 0 THEN ${tornText}::date END
  END AS torn
  FROM (
    SELECT
      (SELECT count(*) FROM put AS p JOIN allowed AS a ON a.namespace = p.namespace AND a.key = p.key)
        + (SELECT count(*) FROM gone) AS written,
      (SELECT count(*) FROM allowed AS a WHERE a.value IS NOT NULL OR a.stored) AS wanted
  ) AS c`

/** The statement of `put`. Exported so that tests recognise it by identity. */
export const writeEntries = `
  WITH settings AS MATERIALIZED (${settings("$5", "$6", "$7", "$8")}),
  asked AS MATERIALIZED (SELECT a.* FROM settings CROSS JOIN ${asked}),
  locked AS MATERIALIZED (
    SELECT a.place, ${isStored} AS stored, ${shownRevision} AS revision
    FROM asked AS a JOIN systemplane_entries AS e ON e.namespace = a.namespace AND e.key = a.key
    ORDER BY e.namespace, e.key
    FOR UPDATE OF e
  ),
  checked AS MATERIALIZED (
    SELECT a.namespace, a.key, a.value::jsonb AS value, a.guard, a.place,
      l.place IS NOT NULL AS there, l.stored IS TRUE AS stored, coalesce(l.revision, 0) AS actual
    FROM asked AS a LEFT JOIN locked AS l ON l.place = a.place
  ),
  allowed AS MATERIALIZED (
    SELECT c.* FROM checked AS c WHERE NOT EXISTS (SELECT FROM checked AS m WHERE m.guard <> m.actual)
  ),
  put AS (
    INSERT INTO systemplane_entries AS e (namespace, key, value, updated_at, updated_by)
    SELECT a.namespace, a.key, a.value, now(), $6::text FROM allowed AS a WHERE a.value IS NOT NULL ORDER BY a.namespace, a.key
    ON CONFLICT (namespace, key) DO UPDATE
    SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by
    WHERE (e.namespace, e.key) IN (SELECT a.namespace, a.key FROM allowed AS a WHERE a.guard IS NULL OR a.there)
    RETURNING e.namespace, e.key, ${columns}
  ),
  gone AS (
    DELETE FROM systemplane_entries AS e USING allowed AS a
    WHERE a.value IS NULL AND a.stored AND e.namespace = a.namespace AND e.key = a.key
    RETURNING a.place, ${inRange("e.revision")} AS deleted
  ),
  whole AS (${whole})
  SELECT c.place::float8, c.actual::float8, c.guard::float8, g.deleted::float8, p.key IS NOT NULL AS put, w.torn,
    p.value, p.revision, p.seconds, p."updatedBy", p.fingerprint
  FROM whole AS w CROSS JOIN checked AS c
  LEFT JOIN put AS p ON p.namespace = c.namespace AND p.key = c.key
  LEFT JOIN gone AS g ON g.place = c.place
  ORDER BY c.place`

const Answer = Schema.Array(
  Schema.Struct({
    actual: Schema.Number,
    guard: Schema.NullOr(Schema.Number),
    deleted: Schema.NullOr(Schema.Number),
    put: Schema.Boolean
  })
)
const decodeAnswer = Schema.decodeUnknownEffect(Answer)

/** What a statement made of one key. */
export interface Attempt extends Written {
  /** The revision that the key was at when the statement came to it; 0: no row. */
  readonly actual: number
}

/** Writes, unless a guard is hurt; in the order of the writes. */
export const put = (
  query: Query,
  writes: ReadonlyArray<EntryWrite>,
  change: ChangeRequest
): Effect.Effect<ReadonlyArray<Attempt>, SqlError> =>
  query(writeEntries, [
    ...parametersOf(writes),
    change.id,
    change.actor,
    change.reason ?? "",
    SecretNames.encode(writes.filter(({ secret }) => secret === true))
  ]).pipe(
    Effect.flatMap((answers) =>
      Effect.zipWith(decodeAnswer(answers), decodeRows(answers.filter(hasRow)), (keys, rows) => {
        let next = 0
        return keys.map(({ actual, deleted, put }) => ({
          actual,
          deleted: deleted ?? undefined,
          row: put ? rows[next++] : undefined
        }))
      })
    ),
    unexpectedShape
  )

const hasRow = (answer: unknown): boolean =>
  typeof answer === "object" && answer !== null && "put" in answer && answer.put === true

/** As `$1` to `$4`. */
const parametersOf = (writes: ReadonlyArray<EntryWrite>): ReadonlyArray<string> => [
  arrayOf(writes.map(({ namespace }) => namespace)),
  arrayOf(writes.map(({ key }) => key)),
  arrayOf(writes.map(({ json }) => json)),
  `{${writes.map(({ ifRevision }) => ifRevision ?? "NULL").join(",")}}`
]

// A record of a key that the writes do not name, or with another value, belongs to another change with the same id. Of
// a secret it has no value, and the row tells as long as it is as the record left it. Whether the trigger is there that
// lets an id take effect once says whether a change may be sent again.
const outcome = `
  WITH recorded AS MATERIALIZED (
    SELECT DISTINCT ON (h.namespace, h.key) h.* FROM systemplane_history AS h
    WHERE ${isChange("h", "$5::uuid")} ORDER BY h.namespace, h.key, h.id DESC
  )
  SELECT
    r.key IS NOT NULL AS recorded,
    CASE
      WHEN r.key IS NULL THEN a.value IS NULL
      WHEN a.value IS NULL THEN r.operation = 'delete'
      WHEN r.operation = 'delete' THEN false
      WHEN r.redacted IS TRUE THEN e.revision IS DISTINCT FROM r.revision OR e.value = a.value::jsonb
      ELSE r.value = a.value::jsonb
    END AS same,
    (SELECT count(*) FROM recorded)::float8 AS records,
    EXISTS (
      SELECT FROM pg_trigger AS t
      WHERE t.tgrelid = 'systemplane_entries'::regclass::oid AND t.tgname = 'systemplane_apply_once_trigger' AND t.tgenabled IN ('O', 'A')
    ) AS once,
    r.revision::float8 AS "recordedRevision",
    pg_catalog.date_part('epoch', r.changed_at) AS "changedAt",
    r.changed_by AS "changedBy",
    coalesce(e.key IS NOT NULL AND ${isStored}, false) AS there,
    coalesce(e.revision = r.revision, false) AS current,
    ${columns}
  FROM ${asked}
  LEFT JOIN recorded AS r ON r.namespace = a.namespace AND r.key = a.key
  LEFT JOIN systemplane_entries AS e ON e.namespace = a.namespace AND e.key = a.key
  ORDER BY a.place`

const Record = Schema.Struct({
  recorded: Schema.Boolean,
  same: Schema.Boolean,
  records: Schema.Number,
  once: Schema.Boolean,
  recordedRevision: Schema.NullOr(Schema.Number),
  changedAt: Schema.NullOr(Schema.Number),
  changedBy: Schema.NullOr(Schema.String),
  there: Schema.Boolean,
  current: Schema.Boolean
})
const decodeRecords = Schema.decodeUnknownEffect(Schema.Array(Record))

/** What became of a change, by the history; `Reused` if its id belongs to other writes. */
export const outcomeOf = (
  query: Query,
  writes: ReadonlyArray<EntryWrite>,
  change: ChangeRequest
): Effect.Effect<ChangeOutcome | { readonly _tag: "Reused" }, SqlError> =>
  query(outcome, [...parametersOf(writes), change.id]).pipe(
    Effect.flatMap((answers) =>
      Effect.zipWith(decodeRecords(answers), decodeRows(answers.filter(isThere)), (records, rows) =>
        outcomeFrom(writes, records, rows)
      )
    ),
    unexpectedShape
  )

const isThere = (answer: unknown): boolean =>
  typeof answer === "object" && answer !== null && "there" in answer && answer.there === true

const outcomeFrom = (
  writes: ReadonlyArray<EntryWrite>,
  records: ReadonlyArray<typeof Record.Type>,
  rows: ReadonlyArray<EntryRow>
): ChangeOutcome | { readonly _tag: "Reused" } => {
  const [first] = records
  if (first === undefined) return { _tag: "NotYet" }
  if (first.records === 0) return { _tag: first.once ? "NotYet" : "Unrecorded" }
  const named = records.filter(({ recorded }) => recorded).length
  if (named < first.records || records.some(({ same }) => !same)) return { _tag: "Reused" }
  let next = 0
  const written = records.map((record, index): Written => {
    const row = record.there ? rows[next++] : undefined
    const { json } = writes[index]!
    const revision = record.recordedRevision ?? 0
    if (json === undefined) return { row: undefined, deleted: record.recorded ? revision : undefined }
    if (record.current) return { row, deleted: undefined }
    return {
      row: {
        value: JSON.parse(json),
        revision,
        updatedAt: (record.changedAt ?? 0) * 1000,
        updatedBy: record.changedBy ?? "",
        // No row has it any more.
        fingerprint: 0n
      },
      deleted: undefined
    }
  })
  const current = records.every((record, index) => (writes[index]!.json === undefined ? !record.there : record.current))
  return { _tag: "Landed", receipt: { written, current } }
}
