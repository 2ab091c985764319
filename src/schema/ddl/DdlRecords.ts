/**
 * The records that triggers of the entries write, in the transaction of the change.
 *
 * ```
 * statement on systemplane_entries ── after, per statement ──► systemplane_record_*  ──► systemplane_history
 * rename of a row ── after, per row ──► systemplane_entries_rename (the new name of a secret is a secret's)
 * a verification ──► systemplane_record_unrecorded (DdlUnrecorded)
 * ```
 *
 * `systemplane.recording` is on while one of these functions writes, and `systemplane.earlier` if the transaction has
 * records from before.
 */

import { isUntouched } from "../SeedMark.ts"
import { history, identity, ofThisTransaction } from "./DdlHistoryTable.ts"
import { isDeclaredSecret, isSecret, keys } from "./DdlKeys.ts"
import {
  alone,
  type DdlObject,
  definer,
  type FunctionObject,
  isOn,
  keepsSnapshot,
  onlyOn,
  setting,
  trigger
} from "./DdlObjects.ts"
import * as DdlTriggers from "./DdlTriggers.ts"
import * as DdlUnrecorded from "./DdlUnrecorded.ts"

const origin = `session_user || '@' || coalesce(nullif(current_setting('application_name', true), ''), '?')`

const recordNames = `id, namespace, key, operation, revision, previous_revision, previous_value, value,
    changed_at, changed_by, change_id, reason, redacted, origin, transaction_id`

/** The columns of what a record trigger finds changed. */
const changeColumns = "(namespace, key, operation, revision, previous_revision, previous_value, value, updated_by)"

// Revisions are drawn in the order of the changes; a row that is deleted keeps its own.
const follows = (record: string, change: string) =>
  `(${record}.revision, ${record}.operation = 'delete') > (${change}.revision, ${change}.operation = 'delete')`

/**
 * Whether a record that this transaction has written may be of something that happened after the change of these rows:
 * what a trigger on the rows does is recorded before what it was fired by, and one statement may insert a row that it
 * deleted.
 */
const isBehind = (tables: ReadonlyArray<string>) => `EXISTS (
      SELECT FROM (
        ${tables.map((rows) => `SELECT r.namespace, r.key, r.revision FROM ${rows} AS r`).join(" UNION ALL ")}
      ) AS c, LATERAL (
        SELECT h.* FROM ${history} AS h WHERE h.namespace = c.namespace AND h.key = c.key ORDER BY h.id DESC LIMIT 1
      ) AS h
      WHERE ${ofThisTransaction("h")} AND (h.revision, h.operation = 'delete') > (c.revision, false)
    )`

/** Writes such records again, after those of these changes. */
const putInOrder = (changed: string) => `
    WITH later AS (
      DELETE FROM ${history} AS h
      USING (${changed}) AS c ${changeColumns}
      WHERE ${ofThisTransaction("h")} AND h.namespace = c.namespace AND h.key = c.key AND ${follows("h", "c")}
      RETURNING h.*
    )
    INSERT INTO ${history} (${recordNames}) OVERRIDING SYSTEM VALUE
    SELECT {schema}.systemplane_sequence_draw(identity, NULL), l.namespace, l.key, l.operation, l.revision, l.previous_revision, l.previous_value, l.value,
      clock_timestamp(), l.changed_by, l.change_id, l.reason, l.redacted, l.origin, l.transaction_id
    FROM (SELECT l.* FROM later AS l ORDER BY l.revision, l.operation = 'delete', l.id OFFSET 0) AS l;`

/** The function behind one record trigger: what it records, from the transition tables of its statement. */
const record = (
  event: "insert" | "update" | "delete" | "truncate",
  tables: ReadonlyArray<string>,
  some: string,
  changed: string,
  before = ""
) =>
  definer(
    `systemplane_record_${event}`,
    `
DECLARE
  change uuid;
  identity regclass;
  behind boolean := false;
  actor text := ${setting("actor")};
  reason text := ${setting("reason")};
  source text := ${origin};
BEGIN${onlyOn("systemplane_entries")}
  IF to_regclass('{schema:literal}.systemplane_history') IS NULL
    OR to_regclass('{schema:literal}.systemplane_keys') IS NULL THEN
    RETURN NULL;
  END IF;${before}
  IF NOT EXISTS (${some}) THEN
    RETURN NULL;
  END IF;
  IF ${keepsSnapshot} THEN
    PERFORM {schema}.systemplane_keys_see_secrets();
  END IF;
  change := {schema}.systemplane_history_begin();
  identity := ${identity};
  IF ${isOn("earlier")} THEN
    behind := ${isBehind(tables)};
  END IF;
  INSERT INTO ${history} (${recordNames}) OVERRIDING SYSTEM VALUE
  SELECT {schema}.systemplane_sequence_draw(identity, NULL), c.namespace, c.key, c.operation, c.revision, c.previous_revision,
    CASE WHEN c.secret THEN NULL ELSE c.previous_value END, CASE WHEN c.secret THEN NULL ELSE c.value END,
    clock_timestamp(), coalesce(actor, c.updated_by), change, reason, c.secret, source, pg_current_xact_id()
  FROM (
    SELECT c.*, ${isSecret("c")} AS secret
    FROM (${changed}) AS c ${changeColumns}
    ORDER BY c.revision
    OFFSET 0
  ) AS c;
  IF behind THEN${putInOrder(changed)}
  END IF;
  PERFORM set_config('systemplane.recording', '', true);
  RETURN NULL;
END`,
    { version: 3 }
  )

const recordInsert = record(
  "insert",
  ["after_rows"],
  `SELECT FROM after_rows AS a WHERE NOT ${isUntouched("a")}`,
  `
      SELECT a.namespace, a.key, 'create', a.revision, NULL::bigint, NULL::jsonb, a.value, a.updated_by
      FROM after_rows AS a
      WHERE NOT ${isUntouched("a")}
    `
)

// A reader saw no row where an untouched seed was: there is nothing before its deletion.
const deleted = (rows: string) => `
      SELECT b.namespace, b.key, 'delete', b.revision, CASE WHEN NOT b.systemplane_untouched THEN b.revision END,
        CASE WHEN NOT b.systemplane_untouched THEN b.value END, NULL::jsonb, session_user::text
      FROM (SELECT b.*, ${isUntouched("b")} AS systemplane_untouched FROM ${rows} AS b) AS b
    `

// A subscriber's history is its publisher's: ids of records that were made here would be in the way of those to come.
// A role, or its settings, may ask for it in a statement that changes entries, of which the records come after this.
const recordDelete = record(
  "delete",
  ["before_rows"],
  "SELECT FROM before_rows",
  deleted("before_rows"),
  `
  IF ${isOn("verify")} AND NOT EXISTS (SELECT FROM before_rows) AND NOT EXISTS (
    SELECT FROM {schema}.systemplane_entries AS e WHERE e.xmin = pg_current_xact_id()::xid
  ) AND NOT EXISTS (
    SELECT FROM pg_subscription_rel AS s WHERE s.srrelid = '${history.replace("{schema}", "{schema:literal}")}'::regclass
  ) THEN
    PERFORM {schema}.systemplane_record_unrecorded();
  END IF;`
)

const recordTruncate = record(
  "truncate",
  ["{schema}.systemplane_entries"],
  "SELECT FROM {schema}.systemplane_entries",
  deleted("{schema}.systemplane_entries")
)

// Later records of the new name would have the secret as the value before.
const renamed = definer(
  "systemplane_entries_rename",
  `
BEGIN${onlyOn("systemplane_entries")}
  IF (NEW.namespace, NEW.key) IS NOT DISTINCT FROM (OLD.namespace, OLD.key)
    OR to_regclass('{schema:literal}.systemplane_keys') IS NULL THEN
    RETURN NULL;
  END IF;
  IF ${isSecret("OLD")} AND NOT ${isDeclaredSecret("NEW")} THEN
    INSERT INTO ${keys} AS k (namespace, key, declared_by, secret, description)
    VALUES (NEW.namespace, NEW.key, 'rename of a secret', true, 'holds what was stored as ' || OLD.namespace || '/' || OLD.key)
    ON CONFLICT (namespace, key, declared_by) DO UPDATE SET secret = true;
  END IF;
  RETURN NULL;
END`,
  { version: 3 }
)

// A row that is renamed leaves under one name and comes under another. A write over an untouched seed stores the first
// value.
const recordUpdate = record(
  "update",
  ["before_rows", "after_rows"],
  "SELECT FROM after_rows",
  `
      SELECT coalesce(a.namespace, b.namespace), coalesce(a.key, b.key),
        CASE WHEN a.key IS NULL THEN 'delete' WHEN b.key IS NULL OR b.systemplane_untouched THEN 'create' ELSE 'update' END,
        coalesce(a.revision, b.revision),
        CASE WHEN NOT b.systemplane_untouched THEN b.revision END,
        CASE WHEN NOT b.systemplane_untouched THEN b.value END,
        a.value, coalesce(a.updated_by, session_user)
      FROM (SELECT b.*, ${isUntouched("b")} AS systemplane_untouched FROM before_rows AS b) AS b
      FULL JOIN after_rows AS a ON a.namespace = b.namespace AND a.key = b.key
      WHERE a.revision IS DISTINCT FROM b.revision OR ${isOn("once")}
    `
)

export const functions: ReadonlyArray<FunctionObject> = [
  renamed,
  recordInsert,
  recordUpdate,
  recordDelete,
  recordTruncate,
  DdlUnrecorded.unrecorded
]

const before = { before: "before_rows" }
const after = { after: "after_rows" }

const recordTrigger = (
  event: "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE",
  run: FunctionObject,
  tables?: Partial<typeof before & typeof after>
) =>
  trigger({
    name: `${run.name}_trigger`,
    when: tables === undefined ? "BEFORE" : "AFTER",
    on: [event],
    each: "STATEMENT",
    ...tables,
    run: run.name
  })

/** In the order in which they build on each other; the functions come before. */
export const triggers: ReadonlyArray<DdlObject> = [
  // Before the statement is recorded. The library renames nothing, and a condition on names would keep their columns
  // from being altered.
  alone(
    trigger({
      name: "systemplane_rename_trigger",
      when: "AFTER",
      on: ["UPDATE"],
      each: "ROW",
      condition: DdlTriggers.settingIsNotOn("once"),
      run: renamed.name
    })
  ),
  {
    kind: "triggers",
    name: "triggers systemplane_record_*",
    triggers: [
      recordTrigger("INSERT", recordInsert, after),
      recordTrigger("UPDATE", recordUpdate, { ...before, ...after }),
      recordTrigger("DELETE", recordDelete, before),
      recordTrigger("TRUNCATE", recordTruncate)
    ],
    afterwards: ["SELECT {schema}.systemplane_record_unrecorded()"]
  }
]
