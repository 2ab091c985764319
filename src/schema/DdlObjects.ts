/**
 * The parts of the schema of a tenant's database, each with the statements that create or mend it.
 *
 * The names are those that services built on LerianStudio's lib-systemplane use, so that both may work on one database. The
 * functions have names of our own: where such a service has installed its triggers, those stay.
 *
 * Every statement is idempotent and names no schema: it works in the first one of the `search_path`, which must be that of the
 * table where there is one. PostgreSQL 14 or newer.
 *
 * @since 0.1.0
 */

/**
 * One part of the schema: what to call it, and the statements that create or mend it.
 *
 * @since 0.1.0
 */
export interface Part {
  readonly name: string
  readonly statements: ReadonlyArray<string>
}

/** A trigger that must be there, enabled, and fire when we say. */
export interface TriggerPart extends Part {
  /** `pg_trigger.tgtype`: row 1, before 2, insert 4, delete 8, update 16. */
  readonly tgtype: number
  /** Our function, or those of other services that do the same. */
  readonly functions: ReadonlyArray<string>
}

/** A function that must have exactly this body. */
export interface FunctionPart extends Part {
  readonly body: string
  /** Whether it runs with the rights of its owner. */
  readonly definer: boolean
}

const createTable = `CREATE TABLE IF NOT EXISTS systemplane_entries (
  namespace text NOT NULL,
  key text NOT NULL,
  value jsonb NOT NULL,
  revision bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL DEFAULT '',
  PRIMARY KEY (namespace, key)
)`

export const sequence: Part = {
  name: "sequence systemplane_revision_seq",
  statements: ["CREATE SEQUENCE IF NOT EXISTS systemplane_revision_seq"]
}

export const table: Part = { name: "table systemplane_entries", statements: [createTable] }

/**
 * Older services left the table without revisions: each row draws one, and no row is lost. A sequence that had to be made
 * anew goes on above the revisions in the table; one that JavaScript cannot express was not drawn, and does not count.
 */
export const revisionColumn: Part = {
  name: "column systemplane_entries.revision",
  statements: [
    "ALTER TABLE systemplane_entries ADD COLUMN IF NOT EXISTS revision bigint NOT NULL DEFAULT nextval('systemplane_revision_seq')",
    "ALTER TABLE systemplane_entries ALTER COLUMN revision DROP DEFAULT",
    `SELECT setval('systemplane_revision_seq', max(revision)) FROM systemplane_entries WHERE revision <= 9007199254740991
HAVING max(revision) >= (SELECT last_value FROM systemplane_revision_seq)`
  ]
}

const bumpFunction = "systemplane_entries_draw_revision"
const notifyFunction = "systemplane_entries_notify"

// A statement by hand seldom remembers updated_at, so a change of the value sets it unless the statement did.
// Draws with the rights of the function's owner, so that the run-time role needs none on the sequence; hence the fixed
// search_path, and the sequence is found beside the table.
const bumpBody = `
BEGIN
  IF TG_OP = 'INSERT' OR (NEW.namespace, NEW.key, NEW.value) IS DISTINCT FROM (OLD.namespace, OLD.key, OLD.value) THEN
    NEW.revision := nextval(format('%I.%I', TG_TABLE_SCHEMA, 'systemplane_revision_seq')::regclass);
    IF TG_OP = 'UPDATE' AND NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN
      NEW.updated_at := now();
    END IF;
  ELSE
    NEW.revision := OLD.revision;
  END IF;
  RETURN NEW;
END
`

// A payload is limited to 8000 bytes (https://www.postgresql.org/docs/18/sql-notify.html). Names of up to 255 characters
// always fit; no key can be declared with a longer one, and the write of such a row must not fail for want of a listener.
const notifyBody = `
DECLARE
  changed record;
  op text := 'upsert';
  drawn bigint := 0;
BEGIN
  IF TG_OP = 'DELETE' THEN
    changed := OLD;
    op := 'delete';
  ELSE
    changed := NEW;
    drawn := NEW.revision;
  END IF;
  IF TG_OP = 'UPDATE' AND (NEW.namespace, NEW.key) IS DISTINCT FROM (OLD.namespace, OLD.key)
    AND length(OLD.namespace) <= 255 AND length(OLD.key) <= 255 THEN
    PERFORM pg_notify('systemplane_changes', json_build_object(
      'namespace', OLD.namespace, 'key', OLD.key, 'op', 'delete', 'revision', 0
    )::text);
  END IF;
  IF length(changed.namespace) <= 255 AND length(changed.key) <= 255 THEN
    PERFORM pg_notify('systemplane_changes', json_build_object(
      'namespace', changed.namespace, 'key', changed.key, 'op', op, 'revision', drawn
    )::text);
  END IF;
  RETURN NULL;
END
`

export const functions: ReadonlyArray<FunctionPart> = [
  {
    name: bumpFunction,
    body: bumpBody,
    definer: true,
    statements: [
      `CREATE OR REPLACE FUNCTION ${bumpFunction}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$${bumpBody}$body$`
    ]
  },
  {
    name: notifyFunction,
    body: notifyBody,
    definer: false,
    statements: [
      `CREATE OR REPLACE FUNCTION ${notifyFunction}() RETURNS trigger LANGUAGE plpgsql AS $body$${notifyBody}$body$`
    ]
  }
]

const trigger = (options: {
  readonly name: string
  readonly tgtype: number
  readonly functions: ReadonlyArray<string>
  readonly fires: string
}): TriggerPart => ({
  name: options.name,
  tgtype: options.tgtype,
  functions: options.functions,
  statements: [
    `CREATE OR REPLACE TRIGGER ${options.name} ${options.fires} EXECUTE FUNCTION ${options.functions[0]}()`,
    `ALTER TABLE systemplane_entries ENABLE TRIGGER ${options.name}`
  ]
})

export const triggers: ReadonlyArray<TriggerPart> = [
  trigger({
    name: "systemplane_bump_revision_trigger",
    tgtype: 1 + 2 + 4 + 16,
    functions: [bumpFunction, "systemplane_bump_revision_v4"],
    fires: "BEFORE INSERT OR UPDATE ON systemplane_entries FOR EACH ROW"
  }),
  trigger({
    name: "systemplane_notify_trigger",
    tgtype: 1 + 4 + 8,
    functions: [notifyFunction, "systemplane_notify_v4"],
    fires: "AFTER INSERT OR DELETE ON systemplane_entries FOR EACH ROW"
  }),
  trigger({
    name: "systemplane_notify_update_trigger",
    tgtype: 1 + 16,
    functions: [notifyFunction, "systemplane_notify_v4"],
    fires: "AFTER UPDATE ON systemplane_entries FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)"
  })
]

/** All parts, in the order in which they build on each other. */
export const parts: ReadonlyArray<Part> = [sequence, table, revisionColumn, ...functions, ...triggers]

/** Statements as one script. */
export const script = (parts: ReadonlyArray<Part>): string =>
  parts.flatMap((part) => part.statements.map((statement) => `${statement};\n`)).join("\n")
