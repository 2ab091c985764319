/**
 * Objects as a statement: one PL/pgSQL block that looks at each of them, and makes or mends those that are not in
 * order.
 *
 * The block is what `Ddl.sql` is, what `ensure` runs, and what an error carries as the SQL that mends a database. A
 * database that is in order sees a look at its catalogue, and neither DDL nor a lock. The block resolves the schema
 * itself: it is that of the table, or the first of the `search_path` if there is no table. Everything it does happens
 * under a path that holds no schema in which other roles may create.
 */
import { type DdlObject, lockKey, safePath } from "./DdlObjects.ts"
import * as DdlSections from "./DdlSections.ts"
import * as DdlUnsuitable from "./DdlUnsuitable.ts"

/** Where the table is: its schema, or the one in which it would be made. */
const locate = (schema: string | undefined) => `
  SELECT array_agg(n.nspname::text ORDER BY s.place) INTO homes
  FROM unnest(schemas) WITH ORDINALITY AS s (name, place)
  JOIN pg_namespace AS n ON n.nspname = s.name
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'systemplane_entries';
  home := coalesce(${schema === undefined ? "" : `${DdlSections.literal(schema)}, `}homes[1], first_schema);
  IF home IS NULL THEN
    RAISE EXCEPTION 'no schema of the search_path (%) exists, or this role may use none', saved_path
      USING HINT = 'Set search_path, name a schema, or grant USAGE on it.';
  END IF;`

const prologue = (schema: string | undefined) => `
DECLARE
  saved_path text := pg_catalog.current_setting('search_path');
  saved_timeout text := pg_catalog.current_setting('lock_timeout');
  saved_quoting text := pg_catalog.current_setting('quote_all_identifiers');
  schemas name[] := pg_catalog.current_schemas(false);
  first_schema text := pg_catalog.current_schema();
  homes text[];
  home text;
  home_literal text;
  look text;
  fine boolean;
  locked boolean := false;
  created boolean;
  outdated boolean;
  wanted record;
  existing pg_catalog.pg_proc;
  signature text;
  stranger oid;
  table_owner oid;
BEGIN
  PERFORM pg_catalog.set_config('search_path', '${safePath}', true);
  PERFORM set_config('quote_all_identifiers', 'off', true);
  PERFORM set_config('lock_timeout', CASE saved_timeout WHEN '0' THEN '10s' ELSE saved_timeout END, true);${locate(schema)}`

const epilogue = `
  PERFORM set_config('lock_timeout', saved_timeout, true);
  PERFORM set_config('quote_all_identifiers', saved_quoting, true);
  PERFORM set_config('search_path', saved_path, true);
END`

const block = (sections: ReadonlyArray<string>, schema: string | undefined) =>
  `DO ${DdlSections.quoted(`${prologue(schema)}${sections.join("\n")}${epilogue} `, "systemplane")}`

/** Refuses what is not a table of ours, before anything is altered. */
const refusals = `
  FOR stranger IN
    SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (homes) AND n.nspname <> home AND c.relname = 'systemplane_entries'
  LOOP
    RAISE EXCEPTION 'a table systemplane_entries stands in the schema % too, which is in the search_path', stranger::regclass
      USING HINT = 'Set search_path to the schema of the table that is to be used.';
  END LOOP;
  home := quote_ident(home);
  home_literal := replace(home, '''', '''''');
  IF EXISTS (
    SELECT FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass(home || '.systemplane_entries') AND a.attname = 'tenant_id' AND NOT a.attisdropped
  ) THEN
    RAISE EXCEPTION '%.systemplane_entries has a column tenant_id: it holds the entries of many tenants', home
      USING HINT = 'effect-systemplane needs a database for each tenant.';
  END IF;
  FOR wanted IN ${DdlUnsuitable.inNamespace("home::regnamespace")} ORDER BY u.name
  LOOP
    CASE wanted.problem
      WHEN 'NotATable' THEN
        RAISE EXCEPTION '%.% is not a table', home, wanted.name USING HINT = 'Rename it, or use another schema.';
      WHEN 'Partitioned' THEN
        RAISE EXCEPTION '%.% is partitioned or inherits', home, wanted.name USING HINT = 'Put a plain table with its rows in its place.';
      WHEN 'ForeignCode' THEN
        RAISE EXCEPTION '%.% belongs to another role, or has a trigger of one, which would run with the rights of the owner', home, wanted.name
          USING HINT = 'Look at it, and drop it, or give it to the owner of systemplane_entries.';
      WHEN 'HasRules' THEN
        RAISE EXCEPTION '%.% has rewrite rules, which swallow or change statements', home, wanted.name USING HINT = 'Drop the rules.';
      ELSE
        RAISE EXCEPTION 'row level security hides rows of %.% from this role or from its owner', home, wanted.name
          USING HINT = 'Disable it, or give the role BYPASSRLS: a sequence that is set by some of the rows would go back.';
    END CASE;
  END LOOP;
`

/** These objects as one statement. */
export const statement = (objects: ReadonlyArray<DdlObject>, schema?: string | undefined): string =>
  block([refusals, ...DdlSections.sections(objects)], schema)

/**
 * Grants as one statement: on each of these objects that is there. Two at once would update the same row of a
 * catalogue.
 */
export const grantStatement = (
  grants: ReadonlyArray<{ readonly object: string; readonly isFunction?: boolean; readonly grant: string }>,
  schema?: string | undefined
): string =>
  block(
    [
      `\n  PERFORM pg_advisory_xact_lock(${lockKey});`,
      "\n  home := quote_ident(home);\n  home_literal := replace(home, '''', '''''');",
      ...grants.map(({ grant, isFunction, object }) =>
        granting(`${isFunction === true ? "to_regprocedure" : "to_regclass"}(home || '.${object}') IS NOT NULL`, grant)
      )
    ],
    schema
  )

const granting = (condition: string, statement: string) => `
  IF ${condition} THEN
    ${DdlSections.execute(statement)}
  END IF;`
