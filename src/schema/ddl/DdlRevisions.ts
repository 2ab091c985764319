/**
 * The revisions of entries: what draws one, and what keeps the sequence above all that were drawn. The sequence itself
 * is in `DdlSequence`.
 *
 * A row draws a revision from the sequence when it is inserted and whenever its value changes. The draw happens with
 * the rights of the function's owner, so that the run-time role needs none on the sequence. Before each statement the
 * sequence is compared with the highest revision of the table, by an index: a table that was copied, restored or
 * replicated brings rows along that the sequence of this database never drew.
 */

import { isUntouched } from "../SeedMark.ts"
import { hasColumn } from "./DdlColumns.ts"
import {
  type DdlObject,
  definer,
  type FunctionObject,
  index,
  invoker,
  isOn,
  onlyOn,
  setting,
  trigger
} from "./DdlObjects.ts"
import * as DdlSequence from "./DdlSequence.ts"
import * as DdlVersion1 from "./DdlVersion1.ts"

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
export const nameWriter: FunctionObject = invoker(
  "systemplane_entries_name_writer",
  `
BEGIN
  PERFORM set_config('systemplane.named', 'on', true);
  RETURN NEW;
END`,
  { version: 3 }
)

// A subscriber's transaction may have begun before rows were replicated to it, and does not see their revisions.
export const followRevision: FunctionObject = definer(
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

// A row that is removed takes its revision along, which one of its name must not get again.
export const raiseTrigger = trigger({
  name: "systemplane_raise_revision_trigger",
  when: "BEFORE",
  on: ["INSERT", "UPDATE", "DELETE", "TRUNCATE"],
  each: "STATEMENT",
  run: raiseRevision.name
})

export const writerTrigger = trigger({
  name: "systemplane_bump_author_trigger",
  when: "BEFORE",
  on: ["UPDATE"],
  of: "updated_by",
  each: "ROW",
  run: nameWriter.name
})

export const followTrigger = trigger({
  name: "systemplane_follow_revision_trigger",
  when: "AFTER",
  on: ["INSERT", "UPDATE"],
  each: "ROW",
  run: followRevision.name,
  enabled: "R"
})

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
