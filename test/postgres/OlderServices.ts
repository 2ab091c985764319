/** Databases as services other than ours may have left them. */
import { Effect } from "effect"
import * as DdlVersion1 from "../../src/schema/ddl/DdlVersion1.ts"
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

/** Functions that do all that ours do. */
export const functionsV4 = (database: Stranger) =>
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
         PERFORM pg_notify(TG_ARGV[0], json_build_object(
           'namespace', CASE WHEN gone THEN OLD.namespace ELSE NEW.namespace END,
           'key', CASE WHEN gone THEN OLD.key ELSE NEW.key END,
           'op', CASE WHEN gone THEN 'delete' ELSE 'upsert' END,
           'revision', CASE WHEN gone THEN 0 ELSE NEW.revision END,
           'sent_by', 'version 4')::text);
         RETURN NULL;
       END $$`
    )
  })

/** The triggers that run them. Needs the table and the sequence. */
export const triggersV4 = (database: Stranger, channel = "systemplane_changes") =>
  Effect.gen(function* () {
    yield* functionsV4(database)
    yield* database.run(
      `CREATE OR REPLACE TRIGGER systemplane_bump_revision_trigger BEFORE INSERT OR UPDATE ON systemplane_entries
       FOR EACH ROW EXECUTE FUNCTION systemplane_bump_revision_v4()`
    )
    yield* database.run(
      `CREATE OR REPLACE TRIGGER systemplane_notify_trigger AFTER INSERT OR DELETE ON systemplane_entries
       FOR EACH ROW EXECUTE FUNCTION systemplane_notify_v4('${channel}')`
    )
    yield* database.run(
      `CREATE OR REPLACE TRIGGER systemplane_notify_update_trigger AFTER UPDATE ON systemplane_entries
       FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION systemplane_notify_v4('${channel}')`
    )
  })

/** What version 0.1 of this library made: functions that every role may execute, one of them without a path. */
export const version1 = (database: Stranger) =>
  Effect.forEach(
    [
      "CREATE SEQUENCE systemplane_revision_seq",
      `CREATE TABLE systemplane_entries (
         namespace text NOT NULL, key text NOT NULL, value jsonb NOT NULL, revision bigint NOT NULL,
         updated_at timestamptz NOT NULL DEFAULT now(), updated_by text NOT NULL DEFAULT '', PRIMARY KEY (namespace, key)
       )`,
      `CREATE FUNCTION systemplane_entries_draw_revision() RETURNS trigger
       LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$${DdlVersion1.drawRevision}$body$`,
      `CREATE FUNCTION systemplane_entries_notify() RETURNS trigger LANGUAGE plpgsql AS $body$${DdlVersion1.notify}$body$`,
      `CREATE TRIGGER systemplane_bump_revision_trigger BEFORE INSERT OR UPDATE ON systemplane_entries
       FOR EACH ROW EXECUTE FUNCTION systemplane_entries_draw_revision()`,
      `CREATE TRIGGER systemplane_notify_trigger AFTER INSERT OR DELETE ON systemplane_entries
       FOR EACH ROW EXECUTE FUNCTION systemplane_entries_notify()`,
      `CREATE TRIGGER systemplane_notify_update_trigger AFTER UPDATE ON systemplane_entries
       FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION systemplane_entries_notify()`
    ],
    (statement) => database.run(statement),
    { discard: true }
  )

/** The history that lib-systemplane keeps of its own. */
export const ownHistory = (database: Stranger) =>
  Effect.andThen(
    database.run(
      `CREATE TABLE systemplane_history (
         id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, namespace text NOT NULL, key text NOT NULL,
         operation text NOT NULL CHECK (operation IN ('create', 'update', 'delete')), revision bigint NOT NULL,
         previous_value jsonb, value jsonb, changed_at timestamptz NOT NULL DEFAULT now(), changed_by text NOT NULL
       )`
    ),
    database.run("CREATE INDEX systemplane_history_key_idx ON systemplane_history (namespace, key, id DESC)")
  )
