/**
 * Objects as a statement: one PL/pgSQL block that looks at each of them, and makes or mends those that are not in
 * order.
 *
 * The block is what `Ddl.sql` is, what `ensure` runs, and what an error carries as the SQL that mends a database. A
 * database that is in order sees a look at its catalogue, and neither DDL nor a lock. The block resolves the schema
 * itself: it is that of the table, or the first of the `search_path` if there is no table. Everything it does happens
 * under a path that holds no schema in which other roles may create.
 */
import {
  columnsOfIndex,
  type DdlObject,
  type FunctionObject,
  type IndexObject,
  isPlain,
  isWholeIndex,
  lockKey,
  type RelationObject,
  type RuleObject,
  readBy,
  safePath,
  type TriggerGroup,
  type TriggerObject,
  versionOf
} from "./DdlObjects.ts"
import * as DdlTriggers from "./DdlTriggers.ts"
import * as DdlUnsuitable from "./DdlUnsuitable.ts"

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A dollar-quoted constant. The tag is one that the text does not hold. */
export const quoted = (text: string, tag: string): string => {
  let free = tag
  while (text.includes(`$${free}$`)) free += "_"
  return `$${free}$${text}$${free}$`
}

/**
 * Text as `format` takes it, which fills the schema in when the block runs: in one pass, since its name may hold what is
 * replaced.
 */
const template = (text: string): string =>
  text.replaceAll("%", "%%").replaceAll("{schema:literal}", "%2$s").replaceAll("{schema}", "%1$s")

const filled = (template: string): string => `format(${template}, home, home_literal)`

const execute = (statement: string): string => `EXECUTE ${filled(quoted(template(statement), "sql"))};`

const unless = (holds: string, then: ReadonlyArray<string>): string => `
  EXECUTE ${filled(quoted(template(`SELECT ${holds}`), "look"))} INTO fine;
  IF fine IS NOT TRUE THEN
    PERFORM pg_advisory_xact_lock(${lockKey});
${then.map((line) => `    ${line}`).join("\n")}
  END IF;`

const ownerOf = (relation: string) =>
  `(SELECT c.relowner FROM pg_class AS c WHERE c.oid = to_regclass('{schema:literal}.${relation}'))`

const tableOwner = ownerOf("systemplane_entries")

const relation = ({ create, owned, reads, relation, relkinds }: RelationObject): string => {
  const exists = `EXISTS (
    SELECT FROM pg_class AS c
    WHERE c.oid = to_regclass('{schema:literal}.${relation}') AND c.relkind IN (${relkinds.map(literal).join(", ")})${
      reads === undefined ? "" : `\n      AND ${readBy("c")} = '${reads}'`
    }
  )`
  const made = unless(exists, create.map(execute))
  if (!owned) return made
  // Objects belong to the owner of the table, which runs the functions, whichever role makes them.
  return `${made}${unless(`${ownerOf(relation)} = coalesce(${tableOwner}, ${ownerOf(relation)})`, [
    `EXECUTE 'ALTER TABLE ' || home || '.${relation} OWNER TO ' || quote_ident(pg_get_userbyid(
      (SELECT c.relowner FROM pg_class AS c WHERE c.oid = to_regclass(home || '.systemplane_entries'))));`
  ])}`
}

const index = ({ index, on, table }: IndexObject): string => {
  const exists = `EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = to_regclass('{schema:literal}.${table}') AND ${isWholeIndex("i")} AND ${columnsOfIndex("i")} = '${on}'
  )`
  return unless(exists, [
    `IF to_regclass(home || '.${index}') IS NULL THEN`,
    `  ${execute(`CREATE INDEX ${index} ON {schema}.${table} (${on})`)}`,
    "ELSE",
    `  ${execute(`CREATE INDEX ON {schema}.${table} (${on})`)}`,
    "END IF;"
  ])
}

// Rows are not looked at while a transaction holds their table for itself: it would be waited for.
const rule = ({ holds, mend, reads }: RuleObject): string => {
  const made = unless(holds, mend.map(execute))
  return reads === undefined
    ? made
    : `
  IF NOT EXISTS (
    SELECT FROM pg_locks AS l
    WHERE l.relation = to_regclass(home || '.${reads}') AND l.mode = 'AccessExclusiveLock' AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND l.pid <> pg_backend_pid()
  ) THEN${made}
  END IF;`
}

const triggerHolds = (trigger: TriggerObject): string => {
  const conditions = (...accepted: ReadonlyArray<string>) =>
    `${DdlTriggers.conditionOf("g")} IN (${accepted.map(literal).join(", ")})`
  const theirs = `
        OR p.proname IN (${trigger.tolerated.map(literal).join(", ")}) AND g.tgenabled IN ('O', 'A')
          AND encode(g.tgargs, 'hex') IN ('', '73797374656d706c616e655f6368616e67657300')
          AND ${conditions("", ...trigger.acceptable)}
          AND ${DdlTriggers.canDoItsPart("p")}`
  return `EXISTS (
    SELECT FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid
    WHERE g.tgrelid = to_regclass('{schema:literal}.${trigger.table}') AND g.tgname = '${trigger.name}'
      AND ${DdlTriggers.typeOf("g")} = ${trigger.tgtype} AND ${DdlTriggers.tablesOf("g")} = '${trigger.tables}'
      AND ${DdlTriggers.columnsOf("g")} = '${trigger.of}'
      AND (g.tgnargs = 0 AND p.oid = to_regprocedure('{schema:literal}.${trigger.function}()')
          AND g.tgenabled = '${trigger.enabled}' AND ${conditions(trigger.condition)}${
            trigger.tolerated.length === 0 ? "" : theirs
          })
  )`
}

// A constraint trigger is not replaced by the server, which has to be told to drop it.
const triggerMade = (trigger: TriggerObject): ReadonlyArray<string> => [
  `IF EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = to_regclass(home || '.${trigger.table}') AND g.tgname = '${trigger.name}' AND g.tgconstraint <> 0) THEN`,
  `  ${execute(`DROP TRIGGER ${trigger.name} ON {schema}.${trigger.table}`)}`,
  "END IF;",
  execute(`CREATE OR REPLACE TRIGGER ${trigger.name} ${trigger.fires} EXECUTE FUNCTION {schema}.${trigger.function}()`),
  execute(
    `ALTER TABLE {schema}.${trigger.table} ENABLE ${{ O: "", R: "REPLICA ", A: "ALWAYS " }[trigger.enabled]}TRIGGER ${trigger.name}`
  )
]

const triggers = (group: TriggerGroup): string =>
  unless(group.triggers.map(triggerHolds).join("\n  AND "), [
    ...group.triggers.flatMap(triggerMade),
    ...group.afterwards.map(execute)
  ])

const row = (f: FunctionObject): string =>
  `(${[f.name, f.types, f.arguments, f.returns].map(literal).join(", ")}, ${f.definer}, ${literal(f.executable)}, ${versionOf(f.body)}, ${quoted(
    template(f.body),
    "body"
  )})`

// What a new function was granted by default privileges is revoked, even if roles may be named for it later.
// A newer version's body stays as it is, unless a role made it that has no say here; its rights and its path are looked at all the same.
const functions = (all: ReadonlyArray<FunctionObject>): string => `
  FOR wanted IN
    SELECT * FROM (VALUES
${all.map(row).join(",\n")}
    ) AS f (name, types, arguments, returns, definer, executable, version, body)
  LOOP
    wanted.body := ${filled("wanted.body")};
    signature := home || '.' || wanted.name || '(' || wanted.types || ')';
    SELECT p.* INTO existing FROM pg_proc AS p WHERE p.oid = to_regprocedure(signature);
    created := existing.oid IS NULL;
    SELECT c.relowner INTO table_owner FROM pg_class AS c WHERE c.oid = to_regclass(home || '.systemplane_entries');
    IF (existing.proowner = table_owner OR EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = existing.proowner AND r.rolsuper)) IS NOT TRUE
      OR coalesce(substring(split_part(existing.prosrc, chr(10), 1) FROM '^-- effect-systemplane ([0-9]{1,9})$')::integer, 0) <= wanted.version
    THEN
      outdated := (existing.prosrc, existing.prosecdef, existing.proconfig)
          IS DISTINCT FROM (wanted.body, wanted.definer, ARRAY['search_path=${safePath}'])
        OR (${isPlain("existing")}) IS NOT TRUE;
    ELSE
      outdated := false;
    END IF;
    IF outdated THEN
      PERFORM pg_advisory_xact_lock(${lockKey});
      EXECUTE 'CREATE OR REPLACE FUNCTION ' || home || '.' || wanted.name || '(' || wanted.arguments || ') RETURNS '
        || wanted.returns || ' LANGUAGE plpgsql SECURITY ' || CASE WHEN wanted.definer THEN 'DEFINER' ELSE 'INVOKER' END
        || ' SET search_path = ${safePath} AS ' || quote_literal(wanted.body);
      SELECT p.* INTO existing FROM pg_proc AS p WHERE p.oid = to_regprocedure(signature);
    END IF;
    IF existing.proconfig IS DISTINCT FROM ARRAY['search_path=${safePath}'] THEN
      EXECUTE 'ALTER FUNCTION ' || signature || ' RESET ALL';
      EXECUTE 'ALTER FUNCTION ' || signature || ' SET search_path = ${safePath}';
    END IF;
    IF existing.proowner <> table_owner THEN
      EXECUTE 'ALTER FUNCTION ' || signature || ' OWNER TO ' || quote_ident(pg_get_userbyid(table_owner));
      SELECT p.* INTO existing FROM pg_proc AS p WHERE p.oid = to_regprocedure(signature);
    END IF;
    FOR stranger IN
      SELECT DISTINCT a.grantee FROM aclexplode(coalesce(existing.proacl, acldefault('f', existing.proowner))) AS a
      WHERE a.grantee <> existing.proowner
        AND (wanted.executable = 'owner' OR wanted.executable = 'named' AND (created OR a.grantee = 0))
    LOOP
      EXECUTE 'REVOKE ALL ON FUNCTION ' || signature || ' FROM '
        || CASE stranger WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(stranger)) END || ' CASCADE';
    END LOOP;
  END LOOP;`

const section = (object: Exclude<DdlObject, FunctionObject>): string => {
  switch (object.kind) {
    case "relation":
      return relation(object)
    case "index":
      return index(object)
    case "rule":
      return rule(object)
    case "triggers":
      return triggers(object)
  }
}

/** The sections of a block. Neighbouring functions share one. */
const sections = (objects: ReadonlyArray<DdlObject>): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let run: Array<FunctionObject> = []
  const endOfRun = () => {
    if (run.length > 0) parts.push(functions(run))
    run = []
  }
  for (const object of objects) {
    if (object.kind === "function") run.push(object)
    else {
      endOfRun()
      parts.push(`\n  -- ${object.name}${section(object)}`)
    }
  }
  endOfRun()
  return parts
}

/** Where the table is: its schema, or the one in which it would be made. */
const locate = (schema: string | undefined) => `
  SELECT array_agg(n.nspname::text ORDER BY s.place) INTO homes
  FROM unnest(schemas) WITH ORDINALITY AS s (name, place)
  JOIN pg_namespace AS n ON n.nspname = s.name
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'systemplane_entries';
  home := coalesce(${schema === undefined ? "" : `${literal(schema)}, `}homes[1], first_schema);
  IF home IS NULL THEN
    RAISE EXCEPTION 'no schema of the search_path (%) exists', saved_path USING HINT = 'Set search_path, or name a schema.';
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
  fine boolean;
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
  `DO ${quoted(`${prologue(schema)}${sections.join("\n")}${epilogue} `, "systemplane")}`

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
      USING HINT = 'effect-systemplane needs one database, or one schema, for each tenant.';
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
          USING HINT = 'Look at it, and drop it.';
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
  block([refusals, ...sections(objects)], schema)

/** Grants as one statement: on each of these objects that is there. */
export const grantStatement = (
  grants: ReadonlyArray<{ readonly object: string; readonly isFunction?: boolean; readonly grant: string }>,
  schema?: string | undefined
): string =>
  block(
    [
      "\n  home := quote_ident(home);\n  home_literal := replace(home, '''', '''''');",
      ...grants.map(({ grant, isFunction, object }) =>
        granting(`${isFunction === true ? "to_regprocedure" : "to_regclass"}(home || '.${object}') IS NOT NULL`, grant)
      )
    ],
    schema
  )

const granting = (condition: string, statement: string) => `
  IF ${condition} THEN
    ${execute(statement)}
  END IF;`
