/**
 * The history: an append-only record of each change of an entry, written by triggers in the transaction of the change.
 * The table is in DdlHistoryTable, what one change is in DdlChange, and what writes the records in DdlRecords. Here is
 * what keeps the history as it was written:
 *
 * ```
 * insert by another service ── before, per row ──► systemplane_history_adopt (takes the trigger's record over, or drops the row)
 * update, delete, truncate of the history ──► systemplane_history_keep (refuses)
 * retention ──► systemplane_history_purge
 * ```
 *
 * A role that sets `systemplane.recording` by itself is refused by `systemplane_history_writer`, which runs with the
 * rights of the role that inserts.
 */
import * as DdlChange from "./DdlChange.ts"
import * as DdlHistoryTable from "./DdlHistoryTable.ts"
import { history, identity, ofThisTransaction } from "./DdlHistoryTable.ts"
import { isDeclaredSecret, isSecret, recordUnrecorded } from "./DdlKeys.ts"
import {
  alone,
  type DdlObject,
  definer,
  type FunctionObject,
  invoker,
  isOn,
  onlyOn,
  trigger,
  versioned
} from "./DdlObjects.ts"
import * as DdlRecords from "./DdlRecords.ts"
import * as DdlTriggers from "./DdlTriggers.ts"

const writesRecords = `pg_has_role(current_user, (SELECT c.relowner FROM pg_class AS c WHERE c.oid = TG_RELID), 'USAGE')`

/** The role whose statement this is, also in a function that runs as another. */
const caller = `coalesce(nullif(current_setting('role'), 'none'), session_user)`

// Another service's row takes the record of the trigger over whole; only a reason may come from the row. A row without
// such a record tells of no change of this transaction: it is dropped, unless the owner restores what was recorded
// before. That one meets records of its own doing if the entries were restored with the triggers on. A subscriber takes
// what its publisher recorded, and its identity follows: a transaction that began before does not see those records.
const adopt = definer(
  "systemplane_history_adopt",
  `
DECLARE
  known ${history};
  given text := NEW.reason;
  identity regclass;
BEGIN${onlyOn("systemplane_history")}
  NEW.transaction_id := pg_current_xact_id();
  IF current_setting('session_replication_role') = 'replica' THEN
    identity := ${identity};
    IF NEW.id > coalesce(pg_sequence_last_value(identity), 0) THEN
      PERFORM {schema}.systemplane_sequence_raise(identity, NEW.id);
    END IF;
    RETURN NEW;
  END IF;
  SELECT h.* INTO known FROM ${history} AS h
  WHERE ${ofThisTransaction("h")} AND h.origin IS NOT NULL AND h.namespace = NEW.namespace AND h.key = NEW.key
  ORDER BY (h.revision = NEW.revision) DESC, h.id DESC LIMIT 1;
  IF FOUND THEN
    PERFORM set_config('systemplane.recording', 'on', true);
    DELETE FROM ${history} AS h WHERE h.id = known.id;
    PERFORM set_config('systemplane.recording', '', true);
    NEW := known;
    NEW.reason := coalesce(nullif(known.reason, ''), given);
    RETURN NEW;
  END IF;
  IF NEW.changed_at >= transaction_timestamp()
    OR NOT pg_has_role(${caller}, (SELECT c.relowner FROM pg_class AS c WHERE c.oid = TG_RELID), 'USAGE') THEN
    RETURN NULL;
  END IF;
  IF NEW.change_id IS NOT NULL AND EXISTS (
    SELECT FROM ${history} AS h
    WHERE h.id = NEW.id
      OR h.namespace = NEW.namespace AND h.key = NEW.key AND h.id < NEW.id AND h.changed_at > NEW.changed_at
  ) THEN
    RAISE EXCEPTION 'records are not restored into a history that has others: to restore the entries has recorded them anew'
      USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'Restore the whole dump into an empty database, or its data with --disable-triggers into one without entries.';
  END IF;
  IF to_regclass('{schema:literal}.systemplane_keys') IS NOT NULL AND ${isSecret("NEW")} THEN
    NEW.value := NULL;
    NEW.previous_value := NULL;
    NEW.redacted := true;
  END IF;
  RETURN NEW;
END`,
  { version: 3 }
)

const writer = invoker(
  "systemplane_history_writer",
  `
BEGIN
  IF ${isOn("recording")} AND NOT ${writesRecords} THEN
    RAISE EXCEPTION 'only the triggers of systemplane_entries write records' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END`,
  { version: 3 }
)

// For the owner too: against mistakes. What it lets through is the redaction of a key that became a secret, and what
// the functions of the history do.
const keep = invoker(
  "systemplane_history_keep",
  `
BEGIN
  IF TG_OP = 'DELETE' AND ${isOn("recording")} AND ${writesRecords} THEN
    RETURN OLD;
  END IF;
  IF TG_OP = 'UPDATE' AND NEW.redacted AND NEW.value IS NULL AND NEW.previous_value IS NULL
    AND to_jsonb(NEW) - '{value,previous_value,redacted}'::text[]
      = to_jsonb(OLD) - '{value,previous_value,redacted}'::text[]
    AND ${isDeclaredSecret("OLD")} THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'systemplane_history is append-only'
    USING ERRCODE = 'insufficient_privilege', HINT = 'Call systemplane_history_purge to apply a retention.';
END`
)

const purge: FunctionObject = {
  ...definer("systemplane_history_purge", ""),
  types: "integer, integer",
  arguments: "keep_days integer, keep_per_key integer",
  returns: "bigint",
  executable: "named",
  body: versioned(`
DECLARE
  removed bigint;
BEGIN
  IF keep_days < 0 OR keep_per_key < 0 OR keep_days IS NULL AND keep_per_key IS NULL THEN
    RAISE EXCEPTION 'say how many days, or how many records of each key, are kept' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM set_config('systemplane.recording', 'on', true);
  DELETE FROM ${history} AS h
  USING (
    SELECT n.id, row_number() OVER (PARTITION BY n.namespace, n.key ORDER BY n.id DESC) AS place
    FROM ${history} AS n
  ) AS n
  WHERE n.id = h.id
    AND h.changed_at < clock_timestamp() - greatest(coalesce(keep_days, 1), 1) * interval '1 day'
    AND n.place > coalesce(keep_per_key, 0)
    AND NOT EXISTS (
      SELECT FROM {schema}.systemplane_entries AS e
      WHERE e.namespace = h.namespace AND e.key = h.key AND e.revision = h.revision
    );
  GET DIAGNOSTICS removed = ROW_COUNT;
  PERFORM set_config('systemplane.recording', '', true);
  RETURN removed;
END`)
}

export const functions: ReadonlyArray<FunctionObject> = [
  DdlChange.begin,
  DdlChange.applyOnce,
  ...DdlRecords.functions,
  adopt,
  writer,
  keep,
  purge
]

const onHistory = (options: Omit<Parameters<typeof trigger>[0], "table">, afterwards?: ReadonlyArray<string>) =>
  alone(trigger({ ...options, table: "systemplane_history" }), afterwards)

/** In the order in which they build on each other; the catalogue of keys comes before. */
export const objects: ReadonlyArray<DdlObject> = [
  ...DdlHistoryTable.objects,
  ...functions,
  onHistory({
    name: "systemplane_history_adopt_trigger",
    when: "BEFORE",
    on: ["INSERT"],
    each: "ROW",
    condition: DdlTriggers.settingIsNotOn("recording"),
    run: adopt.name,
    enabled: "A"
  }),
  onHistory({
    name: "systemplane_history_writer_trigger",
    when: "BEFORE",
    on: ["INSERT"],
    each: "STATEMENT",
    run: writer.name,
    enabled: "A"
  }),
  // A statement may set it while it runs.
  onHistory({
    name: "systemplane_history_writer_row_trigger",
    when: "BEFORE",
    on: ["INSERT"],
    each: "ROW",
    run: writer.name,
    enabled: "A"
  }),
  onHistory({
    name: "systemplane_history_keep_trigger",
    when: "BEFORE",
    on: ["UPDATE", "DELETE"],
    each: "ROW",
    run: keep.name
  }),
  onHistory(
    {
      name: "systemplane_history_keep_truncate_trigger",
      when: "BEFORE",
      on: ["TRUNCATE"],
      each: "STATEMENT",
      run: keep.name
    },
    // The table may have been made anew, and then lacks what the one before had.
    [recordUnrecorded]
  ),
  ...DdlRecords.triggers,
  DdlChange.applyOnceTrigger
]
