/**
 * The notifications of entries: each change names its entry on the channel `systemplane_changes`, and never its value.
 */
import { definer, type FunctionObject, invoker, keepsSnapshot, onlyOn, trigger } from "./DdlObjects.ts"
import * as DdlTriggers from "./DdlTriggers.ts"
import * as DdlVersion1 from "./DdlVersion1.ts"

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

export const notifyTruncateTrigger = trigger({
  name: "systemplane_notify_truncate_trigger",
  when: "BEFORE",
  on: ["TRUNCATE"],
  each: "STATEMENT",
  run: notifyTruncate.name,
  enabled: "A"
})
