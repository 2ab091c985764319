/**
 * What a person needs who has only `psql`: change a value with a reason, see what changed, take a change back.
 *
 * The functions have the rights of their caller, so that every role may execute them and none gains by it.
 */

import { isUntouched } from "../SeedMark.ts"
import { isChange } from "./DdlChange.ts"
import { type DdlObject, type FunctionObject, invoker, type RelationObject, setting, versioned } from "./DdlObjects.ts"

const person = `coalesce(${setting("actor")}, session_user)`

// A trigger of others may leave a row out: nothing says so but the number of rows.
const raiseSkipped = (names: string) =>
  `RAISE EXCEPTION 'a trigger on systemplane_entries skipped %/%', ${names} USING HINT = 'Change or drop that trigger.';`

const set: FunctionObject = {
  ...invoker("systemplane_set", ""),
  types: "text, text, jsonb, text",
  arguments: "namespace text, key text, value jsonb, reason text DEFAULT NULL",
  returns: "bigint",
  executable: "everyone",
  body: versioned(
    `
#variable_conflict use_column
DECLARE
  reason_before text := coalesce(current_setting('systemplane.reason', true), '');
  drawn bigint;
BEGIN
  PERFORM set_config('systemplane.reason', coalesce(systemplane_set.reason, reason_before), true);
  INSERT INTO {schema}.systemplane_entries AS e (namespace, key, value, updated_at, updated_by)
  VALUES (systemplane_set.namespace, systemplane_set.key, systemplane_set.value, now(), ${person})
  ON CONFLICT (namespace, key) DO UPDATE
  SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by
  RETURNING e.revision INTO drawn;
  IF NOT FOUND THEN
    ${raiseSkipped("systemplane_set.namespace, systemplane_set.key")}
  END IF;
  PERFORM set_config('systemplane.reason', reason_before, true);
  RETURN drawn;
END`,
    3
  )
}

// Rows are taken in the order of their names, so that two reversals never wait for each other in a circle.
const revert: FunctionObject = {
  ...invoker("systemplane_revert", ""),
  types: "uuid, text",
  arguments: "change_id uuid, reason text DEFAULT NULL",
  returns: "bigint",
  executable: "everyone",
  body: versioned(
    `
#variable_conflict use_column
DECLARE
  reason_before text := coalesce(current_setting('systemplane.reason', true), '');
  undone record;
  revision_now bigint;
  reverted bigint := 0;
BEGIN
  PERFORM set_config('systemplane.reason', coalesce(systemplane_revert.reason, 'revert of ' || systemplane_revert.change_id), true);
  FOR undone IN
    SELECT DISTINCT ON (h.namespace, h.key) h.namespace, h.key,
      first_value(h.previous_value) OVER per_key AS value_before,
      bool_or(coalesce(h.redacted, false)) OVER per_key AS redacted,
      last_value(h.operation) OVER per_key AS operation,
      last_value(h.revision) OVER per_key AS revision
    FROM {schema}.systemplane_history AS h
    WHERE ${isChange("h", "systemplane_revert.change_id")}
    WINDOW per_key AS (
      PARTITION BY h.namespace, h.key ORDER BY h.id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
    ORDER BY h.namespace, h.key
  LOOP
    IF undone.redacted THEN
      RAISE EXCEPTION 'the value of %/% was not kept: it is a secret', undone.namespace, undone.key;
    END IF;
    SELECT e.revision INTO revision_now FROM {schema}.systemplane_entries AS e
    WHERE e.namespace = undone.namespace AND e.key = undone.key AND NOT ${isUntouched("e")} FOR UPDATE;
    IF revision_now IS DISTINCT FROM (CASE WHEN undone.operation <> 'delete' THEN undone.revision END) THEN
      RAISE EXCEPTION '%/% has changed since', undone.namespace, undone.key
        USING HINT = 'See systemplane_recent_changes, and revert the later change first.';
    END IF;
    IF undone.value_before IS NULL THEN
      DELETE FROM {schema}.systemplane_entries AS e WHERE e.namespace = undone.namespace AND e.key = undone.key;
      IF NOT FOUND AND revision_now IS NOT NULL THEN
        ${raiseSkipped("undone.namespace, undone.key")}
      END IF;
    ELSE
      INSERT INTO {schema}.systemplane_entries AS e (namespace, key, value, updated_at, updated_by)
      VALUES (undone.namespace, undone.key, undone.value_before, now(), ${person})
      ON CONFLICT (namespace, key) DO UPDATE
      SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by;
      IF NOT FOUND THEN
        ${raiseSkipped("undone.namespace, undone.key")}
      END IF;
    END IF;
    reverted := reverted + 1;
  END LOOP;
  IF reverted = 0 THEN
    RAISE EXCEPTION 'the history has no change %', systemplane_revert.change_id;
  END IF;
  PERFORM set_config('systemplane.reason', reason_before, true);
  RETURN reverted;
END`,
    3
  )
}

const recentChanges: RelationObject = {
  kind: "relation",
  name: "view systemplane_recent_changes",
  relation: "systemplane_recent_changes",
  relkinds: ["v"],
  owned: true,
  reads: "systemplane_history",
  create: [
    `CREATE OR REPLACE VIEW {schema}.systemplane_recent_changes AS
SELECT h.changed_at, h.changed_by, h.namespace, h.key, h.operation, h.previous_value, h.value, h.revision, h.reason,
  h.origin, h.change_id
FROM {schema}.systemplane_history AS h
ORDER BY h.id DESC`
  ]
}

export const objects: ReadonlyArray<DdlObject> = [set]

/** What needs a history. */
export const historyObjects: ReadonlyArray<DdlObject> = [revert, recentChanges]
