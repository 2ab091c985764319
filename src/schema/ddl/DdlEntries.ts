/**
 * The table of entries, and all objects around it. What draws its revisions is in `DdlRevisions`, and what sends its
 * notifications in `DdlNotify`.
 */
import type { Column } from "./DdlColumns.ts"
import * as DdlColumns from "./DdlColumns.ts"
import * as DdlNotify from "./DdlNotify.ts"
import { alone, type DdlObject, type RelationObject, type RuleObject } from "./DdlObjects.ts"
import * as DdlRevisions from "./DdlRevisions.ts"
import * as DdlSequence from "./DdlSequence.ts"

/** Revisions come with a rule of their own. */
export const columnsOfEntries: ReadonlyArray<Column> = [
  { name: "namespace", type: "text", or: ["character varying"], definition: " NOT NULL" },
  { name: "key", type: "text", or: ["character varying"], definition: " NOT NULL" },
  { name: "value", type: "jsonb", definition: " NOT NULL" },
  { name: "revision", type: "bigint", definition: undefined },
  { name: "updated_at", type: "timestamp with time zone", definition: " NOT NULL DEFAULT now()" },
  { name: "updated_by", type: "text", or: ["character varying"], definition: " NOT NULL DEFAULT ''" }
]

export const table: RelationObject = {
  kind: "relation",
  name: "table systemplane_entries",
  relation: "systemplane_entries",
  relkinds: ["r"],
  owned: false,
  create: [
    `CREATE TABLE {schema}.systemplane_entries (
  ${columnsOfEntries.map(({ definition = " NOT NULL", name, type }) => `${name} ${type}${definition}`).join(",\n  ")},
  PRIMARY KEY (namespace, key)
)`
  ]
}

export const columns: RuleObject = DdlColumns.rule("systemplane_entries", columnsOfEntries)

const entries = "pg_catalog.to_regclass('{schema:literal}.systemplane_entries')"

/** Whether the index `i` is on exactly the two names, and no partial one. */
const isOnNames = `i.indrelid = ${entries} AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts = 2
      AND (SELECT count(*) FROM pg_attribute AS a
        WHERE a.attrelid = i.indrelid AND a.attname IN ('namespace', 'key')
          AND a.attnum = ANY ((i.indkey::smallint[])[0:1])) = 2`

const isUnique = `EXISTS (SELECT FROM pg_index AS i WHERE ${isOnNames} AND i.indisvalid AND i.indimmediate)`

/** `ON CONFLICT` fails if a deferrable constraint is on its columns, whatever else is. */
const uniqueOnNames = `${isUnique} AND NOT EXISTS (
    SELECT FROM pg_index AS i WHERE ${isOnNames} AND NOT i.indimmediate
  )`

export const primaryKey: RuleObject = {
  kind: "rule",
  name: "primary key of systemplane_entries",
  holds: uniqueOnNames,
  // No foreign key can refer to a deferrable constraint. A table may have a primary key of another service's.
  mend: [
    `DO $key$
DECLARE
  putoff record;
BEGIN
  FOR putoff IN
    SELECT k.conname FROM pg_index AS i JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
    WHERE ${isOnNames} AND NOT i.indimmediate
  LOOP
    EXECUTE format('ALTER TABLE {schema:literal}.systemplane_entries DROP CONSTRAINT %I', putoff.conname);
  END LOOP;
  IF NOT ${isUnique} THEN
    IF EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = ${entries} AND i.indisprimary) THEN
      ALTER TABLE {schema}.systemplane_entries ADD UNIQUE (namespace, key);
    ELSE
      ALTER TABLE {schema}.systemplane_entries ADD PRIMARY KEY (namespace, key);
    END IF;
  END IF;
END $key$`
  ]
}

/** What has to outlast a crash of the server. The processes have not. */
export const lasting: ReadonlyArray<string> = [
  "systemplane_entries",
  "systemplane_history",
  "systemplane_keys",
  "systemplane_revision_seq"
]

/** What a crash would empty: entries and records would be lost, and revisions would begin anew. */
const lostInACrash = `SELECT c.oid::regclass AS relation FROM pg_class AS c
  JOIN (VALUES ${lasting.map((name) => `('${name}')`).join(", ")}) AS w (name)
    ON c.oid = to_regclass('{schema:literal}.' || w.name)
  WHERE c.relpersistence <> 'p'`

export const durability: RuleObject = {
  kind: "rule",
  name: "durability of the tables",
  holds: `NOT EXISTS (${lostInACrash})`,
  mend: [
    `DO $durable$
DECLARE
  lost record;
BEGIN
  FOR lost IN ${lostInACrash}
  LOOP
    EXECUTE 'ALTER TABLE ' || lost.relation::text || ' SET LOGGED';
  END LOOP;
END $durable$`
  ]
}

/** In the order in which they build on each other. */
export const objects: ReadonlyArray<DdlObject> = [
  DdlSequence.sequence,
  table,
  durability,
  columns,
  primaryKey,
  DdlRevisions.drawRevision,
  DdlNotify.notify,
  DdlNotify.notifyTruncate,
  DdlSequence.raiseSequence,
  DdlSequence.drawSequence,
  DdlRevisions.raiseRevision,
  DdlRevisions.nameWriter,
  DdlRevisions.followRevision,
  DdlRevisions.revisionColumn,
  alone(DdlRevisions.bumpTrigger),
  DdlRevisions.noDefault,
  DdlSequence.sequencePosition,
  DdlRevisions.revisionIndex,
  alone(DdlRevisions.raiseTrigger),
  alone(DdlRevisions.writerTrigger),
  alone(DdlRevisions.followTrigger),
  alone(DdlNotify.notifyTrigger),
  alone(DdlNotify.notifyUpdateTrigger),
  alone(DdlNotify.notifyTruncateTrigger)
]
