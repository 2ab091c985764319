/**
 * The table of entries, its revisions and its notifications. The sequence is in `DdlSequence`.
 *
 * A row draws a revision from the sequence when it is inserted and whenever its value changes. The draw happens with
 * the rights of the function's owner, so that the run-time role needs none on the sequence. Before each statement the
 * sequence is compared with the highest revision of the table, by an index: a table that was copied, restored or
 * replicated brings rows along that the sequence of this database never drew.
 */
import * as DdlColumns from "./DdlColumns.ts"
import { type Column, hasColumn } from "./DdlColumns.ts"
import {
  alone,
  type DdlObject,
  definer,
  type FunctionObject,
  index,
  invoker,
  isOn,
  keepsSnapshot,
  onlyOn,
  type RelationObject,
  type RuleObject,
  setting,
  trigger
} from "./DdlObjects.ts"
import * as DdlSequence from "./DdlSequence.ts"
import * as DdlTriggers from "./DdlTriggers.ts"
import * as DdlVersion1 from "./DdlVersion1.ts"
import { isUntouched } from "./SeedMark.ts"

/** Revisions come with a rule of their own. */
export const columnsOfEntries: ReadonlyArray<Column> = [
  { name: "namespace", type: "text", or: ["character varying"], definition: " NOT NULL" },
  { name: "key", type: "text", or: ["character varying"], definition: " NOT NULL" },
  { name: "value", type: "jsonb", definition: " NOT NULL" },
  { name: "revision", type: "bigint", definition: undefined },
  { name: "updated_at", type: "timestamp with time zone", definition: " NOT NULL DEFAULT now()" },
  { name: "updated_by", type: "text", or: ["character varying"], definition: " NOT NULL DEFAULT ''" }
]

export const table: RelationObject = {
  kind: "relation",
  name: "table systemplane_entries",
  relation: "systemplane_entries",
  relkinds: ["r"],
  owned: false,
  create: [
    `CREATE TABLE {schema}.systemplane_entries (
  ${columnsOfEntries.map(({ definition = " NOT NULL", name, type }) => `${name} ${type}${definition}`).join(",\n  ")},
  PRIMARY KEY (namespace, key)
)`
  ]
}

export const columns: RuleObject = DdlColumns.rule("systemplane_entries", columnsOfEntries)

const entries = "to_regclass('{schema:literal}.systemplane_entries')"

/** Whether the index `i` is on exactly the two names, and no partial one. */
const isOnNames = `i.indrelid = ${entries} AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts = 2
      AND (SELECT count(*) FROM pg_attribute AS a
        WHERE a.attrelid = i.indrelid AND a.attname IN ('namespace', 'key')
          AND a.attnum = ANY ((i.indkey::smallint[])[0:1])) = 2`

const isUnique = `EXISTS (SELECT FROM pg_index AS i WHERE ${isOnNames} AND i.indisvalid AND i.indimmediate)`

/** `ON CONFLICT` fails if a deferrable constraint is on its columns, whatever else is. */
const uniqueOnNames = `${isUnique} AND NOT EXISTS (
    SELECT FROM pg_index AS i WHERE ${isOnNames} AND NOT i.indimmediate
  )`

export const primaryKey: RuleObject = {
  kind: "rule",
  name: "primary key of systemplane_entries",
  holds: uniqueOnNames,
  // No foreign key can refer to a deferrable constraint. A table may have a primary key of another service's.
  mend: [
    `DO $key$
DECLARE
  putoff record;
BEGIN
  FOR putoff IN
    SELECT k.conname FROM pg_index AS i JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
    WHERE ${isOnNames} AND NOT i.indimmediate
  LOOP
    EXECUTE format('ALTER TABLE {schema:literal}.systemplane_entries DROP CONSTRAINT %I', putoff.conname);
  END LOOP;
  IF NOT ${isUnique} THEN
    IF EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = ${entries} AND i.indisprimary) THEN
      ALTER TABLE {schema}.systemplane_entries ADD UNIQUE (namespace, key);
    ELSE
      ALTER TABLE {schema}.systemplane_entries ADD PRIMARY KEY (namespace, key);
    END IF;
  END IF;
END $key$`
  ]
}

const byHand = `coalesce(${setting("actor")}, session_user)`

// A change that does not name updated_by must not blame the writer before. A write over an untouched seed stores a
// value, also an equal one, and hence draws.
export const drawRevision: FunctionObject = definer(
  "systemplane_entries_draw_revision",
  `
DECLARE
  named boolean := ${isOn("named")};
BEGIN${onlyOn("systemplane_entries")}
  IF named THEN
    PERFORM set_config('systemplane.named', '', true);
  END IF;
  IF TG_OP = 'INSERT' THEN
    NEW.revision := {schema}.systemplane_sequence_draw('{schema:literal}.systemplane_revision_seq'::regclass, NULL);
    IF NEW.updated_by = '' THEN
      NEW.updated_by := ${byHand};
    END IF;
  ELSIF (NEW.namespace, NEW.key, NEW.value) IS DISTINCT FROM (OLD.namespace, OLD.key, OLD.value)
    OR NEW.updated_by <> OLD.updated_by AND ${isUntouched("OLD")} THEN
    NEW.revision := {schema}.systemplane_sequence_draw('{schema:literal}.systemplane_revision_seq'::regclass,
      CASE WHEN OLD.revision < ${DdlSequence.tooHigh} THEN OLD.revision END);
    IF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN
      NEW.updated_at := now();
    END IF;
    IF NEW.updated_by = OLD.updated_by AND NOT named THEN
      NEW.updated_by := ${byHand};
    END IF;
  ELSE
    NEW.revision := OLD.revision;
    RETURN NEW;
  END IF;
  IF NEW.revision >= ${DdlSequence.tooHigh} THEN
    RAISE EXCEPTION 'the sequence systemplane_revision_seq was set to %, beyond what a revision may be', NEW.revision
      USING ERRCODE = 'invalid_object_definition', HINT = 'Run Ddl.sql as the owner of systemplane_entries.';
  END IF;
  RETURN NEW;
END`,
  { version: 3, older: [DdlVersion1.drawRevision] }
)

// A payload is limited to 7999 bytes (https://www.postgresql.org/docs/18/sql-notify.html). No write may fail because a
// name is longer than that. `*<>` compares rows of any types, also of those that have no equality.
export const notify: FunctionObject = invoker(
  "systemplane_entries_notify",
  `
DECLARE
  payload text;
BEGIN${onlyOn("systemplane_entries")}
  IF TG_OP = 'UPDATE' THEN
    IF NOT OLD *<> NEW THEN
      RETURN NULL;
    END IF;
    IF NEW.namespace <> OLD.namespace OR NEW.key <> OLD.key THEN
      payload := json_build_object('namespace', OLD.namespace, 'key', OLD.key, 'op', 'delete', 'revision', 0)::text;
      IF octet_length(payload) < 8000 THEN
        PERFORM pg_notify('systemplane_changes', payload);
      END IF;
    END IF;
  END IF;
  IF TG_OP = 'DELETE' THEN
    payload := json_build_object('namespace', OLD.namespace, 'key', OLD.key, 'op', 'delete', 'revision', 0)::text;
  ELSE
    payload := json_build_object(
      'namespace', NEW.namespace, 'key', NEW.key, 'op', 'upsert', 'revision', NEW.revision
    )::text;
  END IF;
  IF octet_length(payload) < 8000 THEN
    PERFORM pg_notify('systemplane_changes', payload);
  END IF;
  RETURN NULL;
END`,
  { older: [DdlVersion1.notify] }
)

// With the owner's rights: a role that may truncate need not be able to read.
export const notifyTruncate: FunctionObject = definer(
  "systemplane_entries_notify_truncate",
  `
BEGIN${onlyOn("systemplane_entries")}
  IF ${keepsSnapshot} THEN
    RAISE EXCEPTION 'TRUNCATE of systemplane_entries needs READ COMMITTED: this transaction does not see all rows that it would remove'
      USING ERRCODE = 'feature_not_supported', HINT = 'Use DELETE, or READ COMMITTED.';
  END IF;
  PERFORM pg_notify('systemplane_changes', p.payload)
  FROM {schema}.systemplane_entries AS e,
    LATERAL (
      SELECT json_build_object('namespace', e.namespace, 'key', e.key, 'op', 'delete', 'revision', 0)::text
    ) AS p (payload)
  WHERE octet_length(p.payload) < 8000;
  RETURN NULL;
END`
)

// To look at the sequence waits for who is restarting it, which has waited for writers: their rows are looked at after.
export const raiseRevision: FunctionObject = definer(
  "systemplane_entries_raise_revision",
  `
DECLARE
  last bigint;
  highest bigint;
BEGIN${onlyOn("systemplane_entries")}
  last := coalesce(pg_sequence_last_value('{schema:literal}.systemplane_revision_seq'::regclass), 0);
  highest := ${DdlSequence.highestOfEntries(DdlSequence.entriesTable)};
  IF ${DdlSequence.isThereHistory} THEN
    highest := greatest(highest, ${DdlSequence.highestOfHistory(DdlSequence.historyTable)});
  END IF;
  IF highest > last OR ${DdlSequence.isFarOff("last", "highest")} THEN
    PERFORM {schema}.systemplane_sequence_raise('{schema:literal}.systemplane_revision_seq'::regclass, highest);
  END IF;
  RETURN NULL;
END`,
  { version: 3 }
)

// Of the columns that a statement names, the trigger that draws sees only what they hold: the writer may be the same as
// before. This one fires right before it, by its name, and for the same row: a statement may run others while it runs.
const nameWriter: FunctionObject = invoker(
  "systemplane_entries_name_writer",
  `
BEGIN
  PERFORM set_config('systemplane.named', 'on', true);
  RETURN NEW;
END`,
  { version: 3 }
)

// A subscriber's transaction may have begun before rows were replicated to it, and does not see their revisions.
const followRevision: FunctionObject = definer(
  "systemplane_entries_follow_revision",
  `
BEGIN${onlyOn("systemplane_entries")}
  IF NEW.revision < ${DdlSequence.tooHigh}
    AND NEW.revision > coalesce(pg_sequence_last_value('{schema:literal}.systemplane_revision_seq'::regclass), 0) THEN
    PERFORM {schema}.systemplane_sequence_raise('{schema:literal}.systemplane_revision_seq'::regclass, NEW.revision);
  END IF;
  RETURN NULL;
END`,
  { version: 3 }
)

export const bumpTrigger = trigger({
  name: "systemplane_bump_revision_trigger",
  when: "BEFORE",
  on: ["INSERT", "UPDATE"],
  each: "ROW",
  run: drawRevision.name,
  tolerated: ["systemplane_bump_revision_v4"]
})

export const notifyTrigger = trigger({
  name: "systemplane_notify_trigger",
  when: "AFTER",
  on: ["INSERT", "DELETE"],
  each: "ROW",
  run: notify.name,
  tolerated: ["systemplane_notify_v4"],
  enabled: "A"
})

export const notifyUpdateTrigger = trigger({
  name: "systemplane_notify_update_trigger",
  when: "AFTER",
  on: ["UPDATE"],
  each: "ROW",
  run: notify.name,
  // Older versions and other services leave out updates that change nothing.
  acceptable: [DdlTriggers.rowDiffers],
  tolerated: ["systemplane_notify_v4"],
  enabled: "A"
})

const notifyTruncateTrigger = trigger({
  name: "systemplane_notify_truncate_trigger",
  when: "BEFORE",
  on: ["TRUNCATE"],
  each: "STATEMENT",
  run: notifyTruncate.name,
  enabled: "A"
})

// A row that is removed takes its revision along, which one of its name must not get again.
const raiseTrigger = trigger({
  name: "systemplane_raise_revision_trigger",
  when: "BEFORE",
  on: ["INSERT", "UPDATE", "DELETE", "TRUNCATE"],
  each: "STATEMENT",
  run: raiseRevision.name
})

const writerTrigger = trigger({
  name: "systemplane_bump_author_trigger",
  when: "BEFORE",
  on: ["UPDATE"],
  of: "updated_by",
  each: "ROW",
  run: nameWriter.name
})

const followTrigger = trigger({
  name: "systemplane_follow_revision_trigger",
  when: "AFTER",
  on: ["INSERT", "UPDATE"],
  each: "ROW",
  run: followRevision.name,
  enabled: "R"
})

/** What has to outlast a crash of the server. The processes have not. */
export const lasting: ReadonlyArray<string> = [
  "systemplane_entries",
  "systemplane_history",
  "systemplane_keys",
  "systemplane_revision_seq"
]

/** What a crash would empty: entries and records would be lost, and revisions would begin anew. */
const lostInACrash = `SELECT c.oid::regclass AS relation FROM pg_class AS c
  JOIN (VALUES ${lasting.map((name) => `('${name}')`).join(", ")}) AS w (name)
    ON c.oid = to_regclass('{schema:literal}.' || w.name)
  WHERE c.relpersistence <> 'p'`

export const durability: RuleObject = {
  kind: "rule",
  name: "durability of the tables",
  holds: `NOT EXISTS (${lostInACrash})`,
  mend: [
    `DO $durable$
DECLARE
  lost record;
BEGIN
  FOR lost IN ${lostInACrash}
  LOOP
    EXECUTE 'ALTER TABLE ' || lost.relation::text || ' SET LOGGED';
  END LOOP;
END $durable$`
  ]
}

const dropDefault = "ALTER TABLE {schema}.systemplane_entries ALTER COLUMN revision DROP DEFAULT"

// Older services left the table without revisions. Their rows draw one each, and an older writer's insert, which names
// none, must not fail at any moment: so the trigger that fills the column comes in the transaction that adds it.
export const revisionColumn: DdlObject = {
  kind: "rule",
  name: "column systemplane_entries.revision",
  holds: hasColumn("systemplane_entries", "revision"),
  mend: [
    `ALTER TABLE {schema}.systemplane_entries
  ADD COLUMN revision bigint NOT NULL DEFAULT nextval('{schema:literal}.systemplane_revision_seq')`,
    `CREATE OR REPLACE TRIGGER ${bumpTrigger.name} ${bumpTrigger.fires} EXECUTE FUNCTION {schema}.${drawRevision.name}()`,
    dropDefault
  ]
}

/** An older script added the column and kept its default until later. */
export const noDefault: DdlObject = {
  kind: "rule",
  name: "default of systemplane_entries.revision",
  holds: `NOT ${hasColumn("systemplane_entries", "revision", " AND a.atthasdef")}`,
  mend: [dropDefault]
}

export const revisionIndex: DdlObject = index("systemplane_entries", "revision", "revision")

export const functions: ReadonlyArray<FunctionObject> = [
  drawRevision,
  notify,
  notifyTruncate,
  DdlSequence.raiseSequence,
  DdlSequence.drawSequence,
  raiseRevision,
  nameWriter,
  followRevision
]

/** In the order in which they build on each other. */
export const objects: ReadonlyArray<DdlObject> = [
  DdlSequence.sequence,
  table,
  durability,
  columns,
  primaryKey,
  ...functions,
  revisionColumn,
  alone(bumpTrigger),
  noDefault,
  DdlSequence.sequencePosition,
  revisionIndex,
  alone(raiseTrigger),
  alone(writerTrigger),
  alone(followTrigger),
  alone(notifyTrigger),
  alone(notifyUpdateTrigger),
  alone(notifyTruncateTrigger)
]
