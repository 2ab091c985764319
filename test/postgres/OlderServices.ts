/** Databases as services other than ours may have left them. */
import { Effect } from "effect"
import type { Stranger } from "../support/TestDatabase.ts"

/** The table before there were revisions. */
export const tableWithoutRevision = (database: Stranger) =>
  database.run(
    `CREATE TABLE systemplane_entries (
       namespace text NOT NULL,
       key text NOT NULL,
       value jsonb NOT NULL,
       updated_at timestamptz NOT NULL DEFAULT now(),
       updated_by text NOT NULL DEFAULT '',
       PRIMARY KEY (namespace, key)
     )`
  )

/** Triggers that fire as ours do, under the same names, but notify without a revision. */
export const notifyV3 = (database: Stranger) =>
  Effect.gen(function* () {
    yield* database.run(
      `CREATE FUNCTION systemplane_notify_v3() RETURNS trigger LANGUAGE plpgsql AS $$
       DECLARE touched systemplane_entries := coalesce(NEW, OLD);
       BEGIN
         PERFORM pg_notify('systemplane_changes',
           json_build_object('namespace', touched.namespace, 'key', touched.key, 'op', lower(TG_OP))::text);
         RETURN touched;
       END $$`
    )
    yield* database.run(
      `CREATE OR REPLACE TRIGGER systemplane_notify_trigger AFTER INSERT OR DELETE ON systemplane_entries
       FOR EACH ROW EXECUTE FUNCTION systemplane_notify_v3()`
    )
    yield* database.run(
      `CREATE OR REPLACE TRIGGER systemplane_notify_update_trigger AFTER UPDATE ON systemplane_entries
       FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION systemplane_notify_v3()`
    )
  })

/** Triggers that do all that ours do, with functions of their own. Needs the table and the sequence. */
export const triggersV4 = (database: Stranger) =>
  Effect.gen(function* () {
    yield* database.run(
      `CREATE FUNCTION systemplane_bump_revision_v4() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF TG_OP = 'UPDATE' THEN
           IF NEW.value = OLD.value THEN NEW.revision := OLD.revision; RETURN NEW; END IF;
         END IF;
         NEW.revision := nextval('systemplane_revision_seq');
         RETURN NEW;
       END $$`
    )
    yield* database.run(
      `CREATE FUNCTION systemplane_notify_v4() RETURNS trigger LANGUAGE plpgsql AS $$
       DECLARE gone boolean := TG_OP = 'DELETE';
       BEGIN
         PERFORM pg_notify('systemplane_changes', json_build_object(
           'namespace', CASE WHEN gone THEN OLD.namespace ELSE NEW.namespace END,
           'key', CASE WHEN gone THEN OLD.key ELSE NEW.key END,
           'op', CASE WHEN gone THEN 'delete' ELSE 'upsert' END,
           'revision', CASE WHEN gone THEN 0 ELSE NEW.revision END,
           'sent_by', 'version 4')::text);
         RETURN NULL;
       END $$`
    )
    yield* database.run(
      `CREATE OR REPLACE TRIGGER systemplane_bump_revision_trigger BEFORE INSERT OR UPDATE ON systemplane_entries
       FOR EACH ROW EXECUTE FUNCTION systemplane_bump_revision_v4()`
    )
    yield* database.run(
      `CREATE OR REPLACE TRIGGER systemplane_notify_trigger AFTER INSERT OR DELETE ON systemplane_entries
       FOR EACH ROW EXECUTE FUNCTION systemplane_notify_v4()`
    )
    yield* database.run(
      `CREATE OR REPLACE TRIGGER systemplane_notify_update_trigger AFTER UPDATE ON systemplane_entries
       FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION systemplane_notify_v4()`
    )
  })
