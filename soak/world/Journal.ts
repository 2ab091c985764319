/**
 * The journal of a tenant's table: what was committed, by whom and when. It is a second table that triggers write in
 * the writer's own transaction; they fire in every mode of a session. The server keeps the time of every commit.
 *
 * The rows of a key are in the order of its versions: a writer holds the row's lock from before its journal row is
 * numbered until it has committed.
 */
import { Effect, Schema } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { JournalRow } from "../checks/Checker.ts"
import { Moody, unluckyEnd } from "../Keys.ts"
import type { Database } from "./Database.ts"

/** A value's stamp; of a value that has none, how it begins. */
export const stampOf = (value: string) => `coalesce(${value} ->> 'stamp', left(${value}::text, 60))`

/** Whether the value of a row decodes. */
const isValid = (row: string) =>
  `coalesce(jsonb_typeof(${row}.value -> 'stamp') = 'string' AND jsonb_typeof(${row}.value -> 'tenant') = 'string', false)
   AND NOT (${row}.key = '${Moody.key}' AND ${row}.value ->> 'stamp' LIKE '%${unluckyEnd}')`

export const ddl: ReadonlyArray<string> = [
  `CREATE TABLE soak_journal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
  key text NOT NULL,
  operation text NOT NULL,
  revision bigint NOT NULL,
  stamp text NOT NULL,
  valid boolean NOT NULL,
  by text NOT NULL,
  announced boolean NOT NULL
)`,
  "CREATE INDEX ON soak_journal (transaction)",
  `CREATE FUNCTION soak_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  announced boolean := current_setting('session_replication_role') <> 'replica';
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO soak_journal (key, operation, revision, stamp, valid, by, announced)
    SELECT namespace || '/' || key, 'delete', 0, 'default', true, '', announced FROM systemplane_entries;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO soak_journal (key, operation, revision, stamp, valid, by, announced)
    VALUES (OLD.namespace || '/' || OLD.key, 'delete', 0, 'default', true, '', announced);
  -- A seed whose writer is changed by hand is a stored value from then on.
  ELSIF TG_OP = 'INSERT'
    OR (NEW.value, NEW.revision, NEW.updated_by ~ '^systemplane.manager:[0-9a-f]{16}$')
      IS DISTINCT FROM (OLD.value, OLD.revision, OLD.updated_by ~ '^systemplane.manager:[0-9a-f]{16}$') THEN
    INSERT INTO soak_journal (key, operation, revision, stamp, valid, by, announced)
    VALUES (NEW.namespace || '/' || NEW.key, lower(TG_OP), NEW.revision, ${stampOf("NEW.value")},
            ${isValid("NEW")}, NEW.updated_by, announced);
  END IF;
  RETURN NULL;
END
$$`,
  "CREATE TRIGGER soak_note AFTER INSERT OR UPDATE OR DELETE ON systemplane_entries FOR EACH ROW EXECUTE FUNCTION soak_note()",
  "CREATE TRIGGER soak_note_truncate BEFORE TRUNCATE ON systemplane_entries FOR EACH STATEMENT EXECUTE FUNCTION soak_note()",
  "ALTER TABLE systemplane_entries ENABLE ALWAYS TRIGGER soak_note",
  "ALTER TABLE systemplane_entries ENABLE ALWAYS TRIGGER soak_note_truncate"
]

const Row = Schema.Struct({
  id: Schema.Finite,
  transaction: Schema.String,
  key: Schema.String,
  operation: Schema.Literals(["insert", "update", "delete"]),
  revision: Schema.Finite,
  stamp: Schema.String,
  valid: Schema.Boolean,
  by: Schema.String,
  announced: Schema.Boolean,
  committed: Schema.Finite
})

export const decodeRows = Schema.decodeUnknownSync(Schema.Array(Row))
/** The rows of the journal that meet a condition, in order. */
export const select = (condition: string) =>
  `SELECT id::float8, transaction::text, key, operation, revision::float8, stamp, valid, by, announced,
          extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 * 1000 AS committed
   FROM soak_journal WHERE ${condition} ORDER BY id`

const decodeHorizon = Schema.decodeUnknownSync(Schema.NonEmptyArray(Schema.Struct({ horizon: Schema.String })))

/** Reads the journal from the end of the last read; each row is returned once. */
export const reader = (database: Database): Effect.Effect<ReadonlyArray<JournalRow>, SqlError> => {
  let from = "0"
  let taken = new Set<number>()
  return Effect.gen(function* () {
    // Every transaction below the horizon has ended, so that the second statement sees what it did.
    const [{ horizon }] = decodeHorizon(
      yield* database.run("SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon")
    )
    const rows = decodeRows(yield* database.run(select("transaction >= $1::xid8"), [from]))
    const fresh = rows.filter(({ id }) => !taken.has(id))
    taken = new Set(rows.filter((row) => BigInt(row.transaction) >= BigInt(horizon)).map(({ id }) => id))
    from = horizon
    return fresh
  })
}
