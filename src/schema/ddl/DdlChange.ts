/**
 * A change: what one transaction does to entries, under one id. The records of a transaction share the id, and no other
 * transaction has it.
 *
 * A writer that asks for it (`systemplane.once`) has its id take effect once: a copy that comes again writes nothing if
 * its content is the same, and fails with `SP001` if it is not.
 */
import { history, identity, ofThisTransaction } from "./DdlHistoryTable.ts"
import {
  alone,
  type DdlObject,
  definer,
  type FunctionObject,
  invoker,
  isOn,
  keepsSnapshot,
  lockKey,
  onlyOn,
  setting,
  trigger,
  versioned
} from "./DdlObjects.ts"
import * as DdlTriggers from "./DdlTriggers.ts"

/** The SQLSTATE of a change id that comes again with another content. */
export const changeIdReused = "SP001"

const isUuid = (text: string) => `coalesce(${text}, '') ~* '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'`

/**
 * Whether a record is of this change, so that every plan finds it by the index. If a few large changes make up the
 * history, an equality would be taken for a good part of all records, and the first of them looked for in the table.
 */
export const isChange = (alias: string, change: string): string =>
  `${alias}.change_id >= ${change} AND ${alias}.change_id <= ${change}`

/** Held to the end of the transaction that uses the change id. */
const lockOf = (change: string) => `hashtextextended(${change}::text, ${lockKey})`

// The identity of a copied or replicated table is behind its rows, and no write may fail for want of an id. An id that
// is no uuid, or that another transaction has used or is using, only describes: it is replaced, unless the writer asked
// to take effect once. Such a writer holds rows that others wait for, and so waits for no id.
export const begin: FunctionObject = {
  ...invoker("systemplane_history_begin", ""),
  returns: "uuid",
  body: versioned(
    `
DECLARE
  change uuid;
  identity regclass := ${identity};
  last bigint := coalesce(pg_sequence_last_value(identity), 0);
  highest bigint;
BEGIN
  SELECT (SELECT max(h.id) FROM ${history} AS h), (
    SELECT h.change_id FROM ${history} AS h WHERE ${ofThisTransaction("h")} AND h.change_id IS NOT NULL LIMIT 1
  ) INTO highest, change;
  IF highest > last THEN
    PERFORM {schema}.systemplane_sequence_raise(identity, highest);
  END IF;
  PERFORM set_config('systemplane.recording', 'on', true),
    set_config('systemplane.earlier', CASE WHEN change IS NULL THEN '' ELSE 'on' END, true);
  IF change IS NOT NULL THEN
    RETURN change;
  END IF;
  IF NOT ${isUuid(setting("change"))} THEN
    RETURN gen_random_uuid();
  END IF;
  change := current_setting('systemplane.change', true)::uuid;
  IF NOT pg_try_advisory_xact_lock(${lockOf("change")})
    OR EXISTS (SELECT FROM ${history} AS h WHERE ${isChange("h", "change")}) THEN
    IF ${isOn("once")} THEN
      RAISE EXCEPTION 'the change % took effect while this statement ran', change USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN gen_random_uuid();
  END IF;
  RETURN change;
END`,
    3
  )
}

// A row is skipped if a record of another transaction bears the change id. A plain NOT EXISTS in the statement would
// not do: its snapshot is older than the lock on the row, and on the id, which two writes of different keys may share.
// The statements of this function look anew, unless the transaction's level has them keep its snapshot: then it tells
// nothing about a transaction that was waited for.
export const applyOnce = definer(
  "systemplane_entries_apply_once",
  `
DECLARE
  change uuid;
BEGIN${onlyOn("systemplane_entries")}
  IF ${isOn("once")} AND to_regclass('{schema:literal}.systemplane_history') IS NOT NULL
    AND ${isUuid(setting("change"))} THEN
    change := current_setting('systemplane.change', true)::uuid;
    IF NOT pg_try_advisory_xact_lock(${lockOf("change")}) THEN
      PERFORM pg_advisory_xact_lock(${lockOf("change")});
      IF ${keepsSnapshot} THEN
        RAISE EXCEPTION 'the change % was used by another transaction meanwhile', change USING ERRCODE = 'serialization_failure';
      END IF;
    END IF;
    IF EXISTS (
      SELECT FROM ${history} AS h WHERE ${isChange("h", "change")} AND h.transaction_id IS DISTINCT FROM pg_current_xact_id()
    ) THEN
      IF TG_OP = 'DELETE' THEN
        IF EXISTS (
          SELECT FROM ${history} AS h
          WHERE ${isChange("h", "change")} AND h.namespace = OLD.namespace AND h.key = OLD.key AND h.operation = 'delete'
        ) THEN
          RETURN NULL;
        END IF;
      ELSIF EXISTS (
        SELECT FROM ${history} AS h
        WHERE ${isChange("h", "change")} AND h.namespace = NEW.namespace AND h.key = NEW.key AND h.operation <> 'delete'
          AND (h.value = NEW.value OR h.redacted)
      ) THEN
        RETURN NULL;
      END IF;
      RAISE EXCEPTION 'ChangeIdReused: the change % took effect before, with another content', change
        USING ERRCODE = '${changeIdReused}', HINT = 'Give each change an id of its own.';
    END IF;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  RETURN NEW;
END`,
  { version: 3 }
)

export const applyOnceTrigger: DdlObject = alone(
  trigger({
    name: "systemplane_apply_once_trigger",
    when: "BEFORE",
    on: ["INSERT", "UPDATE", "DELETE"],
    each: "ROW",
    condition: DdlTriggers.settingIsOn("once"),
    run: applyOnce.name
  })
)
