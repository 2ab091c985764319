/**
 * What a verification records: entries that were changed without a record, since the triggers were disabled, or the
 * history was not there.
 */

import { isUntouched } from "../SeedMark.ts"
import { history, identity } from "./DdlHistoryTable.ts"
import { isSecret } from "./DdlKeys.ts"
import { type FunctionObject, invoker, lockKey, versioned } from "./DdlObjects.ts"

// Closes what the triggers did not see: entries that differ from the last record of their key, and keys that have gone.
// At the creation of the history this is the baseline; later it is what was written while the triggers were off. It
// lets no writer in: the newest record of a key would be the one that is written here, though a writer under way
// changed the entry after it.
export const unrecorded: FunctionObject = {
  ...invoker("systemplane_record_unrecorded", ""),
  returns: "bigint",
  body: versioned(
    `
DECLARE
  change uuid;
  identity regclass := ${identity};
  baseline boolean;
  written bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(${lockKey});
  LOCK TABLE {schema}.systemplane_entries IN SHARE ROW EXCLUSIVE MODE;
  change := {schema}.systemplane_history_begin();
  baseline := NOT EXISTS (SELECT FROM ${history} AS h WHERE h.change_id IS NOT NULL);
  INSERT INTO ${history} (id, namespace, key, operation, revision, previous_revision, previous_value, value,
    changed_at, changed_by, change_id, reason, redacted, transaction_id) OVERRIDING SYSTEM VALUE
  SELECT {schema}.systemplane_sequence_draw(identity, NULL), c.namespace, c.key, c.operation, c.revision, c.previous_revision,
    CASE WHEN c.secret THEN NULL ELSE c.previous_value END, CASE WHEN c.secret THEN NULL ELSE c.value END,
    CASE WHEN baseline THEN coalesce(c.updated_at, clock_timestamp()) ELSE clock_timestamp() END,
    CASE WHEN baseline THEN coalesce(c.updated_by, 'unrecorded') ELSE 'unrecorded' END,
    change, CASE WHEN baseline THEN 'baseline' END, c.secret, pg_current_xact_id()
  FROM (
    SELECT c.*, ${isSecret("c")} AS secret
    FROM (
      SELECT coalesce(e.namespace, h.namespace) AS namespace, coalesce(e.key, h.key) AS key,
        CASE WHEN e.key IS NULL THEN 'delete' WHEN h.key IS NULL THEN 'create' ELSE 'update' END AS operation,
        coalesce(e.revision, h.revision) AS revision, h.revision AS previous_revision, h.value AS previous_value,
        e.value, e.updated_at, e.updated_by
      FROM (SELECT e.* FROM {schema}.systemplane_entries AS e WHERE NOT ${isUntouched("e")}) AS e
      FULL JOIN (
        SELECT h.* FROM (
          SELECT DISTINCT ON (h.namespace, h.key) h.* FROM ${history} AS h ORDER BY h.namespace, h.key, h.id DESC
        ) AS h
        WHERE h.operation <> 'delete'
      ) AS h ON h.namespace = e.namespace AND h.key = e.key
      WHERE e.revision IS DISTINCT FROM h.revision OR h.redacted IS NOT TRUE AND e.value IS DISTINCT FROM h.value
    ) AS c
    ORDER BY c.revision
    OFFSET 0
  ) AS c;
  GET DIAGNOSTICS written = ROW_COUNT;
  PERFORM set_config('systemplane.recording', '', true);
  RETURN written;
END`,
    3
  )
}
