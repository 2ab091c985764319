/**
 * One object as a section of the block that `DdlScript` makes: PL/pgSQL that looks at the object, and makes or mends it
 * if it is not in order.
 *
 * A section uses variables that the block declares: `home` and `home_literal`, the schema's quoted name and the same
 * inside of a string constant, `look`, `fine`, `locked`, and those of functions. The first section that finds something
 * to do takes the lock of the schema, and looks again; those after it look once.
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

/** A string constant. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A dollar-quoted constant. The tag is one that the text does not hold. */
export const quoted = (text: string, tag: string): string => {
  let free = tag
  while (text.includes(`$${free}$`)) free += "_"
  return `$${free}$${text}$${free}$`
}

/**
 * Text as `format` takes it, which fills the schema in when the block runs: in one pass, since its name may hold what
 * is replaced.
 */
const template = (text: string): string =>
  text.replaceAll("%", "%%").replaceAll("{schema:literal}", "%2$s").replaceAll("{schema}", "%1$s")

const filled = (template: string): string => `format(${template}, home, home_literal)`

/** A statement of the block, with the schema filled in. */
export const execute = (statement: string): string => `EXECUTE ${filled(quoted(template(statement), "sql"))};`

// Other scripts and processes may do the same at the same time: what was looked at before the lock is looked at again.
const lock = `PERFORM pg_advisory_xact_lock(${lockKey});
    locked := true;`

const unless = (holds: string, then: ReadonlyArray<string>): string => `
  look := ${filled(quoted(template(`SELECT ${holds}`), "look"))};
  EXECUTE look INTO fine;
  IF fine IS NOT TRUE AND NOT locked THEN
    ${lock}
    EXECUTE look INTO fine;
  END IF;
  IF fine IS NOT TRUE THEN
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

/** Roles that may execute the function `existing`, and are not to. */
const strangers = `
      SELECT DISTINCT a.grantee FROM aclexplode(coalesce(existing.proacl, acldefault('f', existing.proowner))) AS a
      WHERE a.grantee <> existing.proowner
        AND (wanted.executable = 'owner' OR wanted.executable = 'named' AND (created OR a.grantee = 0))`

const hasSafePath = `existing.proconfig IS NOT DISTINCT FROM ARRAY['search_path=${safePath}']`

// What a new function was granted by default privileges is revoked, even if roles may be named for it later. A newer
// version's body stays as it is, unless a role made it that has no say here; its rights and its path are looked at all
// the same.
const functions = (all: ReadonlyArray<FunctionObject>): string => `
  FOR wanted IN
    SELECT * FROM (VALUES
${all.map(row).join(",\n")}
    ) AS f (name, types, arguments, returns, definer, executable, version, body)
  LOOP
    wanted.body := ${filled("wanted.body")};
    signature := home || '.' || wanted.name || '(' || wanted.types || ')';
    LOOP
      SELECT p.* INTO existing FROM pg_proc AS p WHERE p.oid = to_regprocedure(signature);
      SELECT c.relowner INTO table_owner FROM pg_class AS c WHERE c.oid = to_regclass(home || '.systemplane_entries');
      created := existing.oid IS NULL;
      outdated := (
        (existing.proowner = table_owner OR EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = existing.proowner AND r.rolsuper)) IS NOT TRUE
        OR coalesce(substring(split_part(existing.prosrc, chr(10), 1) FROM '^-- effect-systemplane ([0-9]{1,9})$')::integer, 0) <= wanted.version
      ) AND (
        (existing.prosrc, existing.prosecdef) IS DISTINCT FROM (wanted.body, wanted.definer)
        OR NOT (${hasSafePath}) OR (${isPlain("existing")}) IS NOT TRUE
      );
      EXIT WHEN locked
        OR NOT outdated AND ${hasSafePath} AND existing.proowner = table_owner AND NOT EXISTS (${strangers}
      );
      ${lock}
    END LOOP;
    IF outdated THEN
      EXECUTE 'CREATE OR REPLACE FUNCTION ' || home || '.' || wanted.name || '(' || wanted.arguments || ') RETURNS '
        || wanted.returns || ' LANGUAGE plpgsql SECURITY ' || CASE WHEN wanted.definer THEN 'DEFINER' ELSE 'INVOKER' END
        || ' SET search_path = ${safePath} AS ' || quote_literal(wanted.body);
      SELECT p.* INTO existing FROM pg_proc AS p WHERE p.oid = to_regprocedure(signature);
    END IF;
    IF NOT (${hasSafePath}) THEN
      EXECUTE 'ALTER FUNCTION ' || signature || ' RESET ALL';
      EXECUTE 'ALTER FUNCTION ' || signature || ' SET search_path = ${safePath}';
    END IF;
    IF existing.proowner <> table_owner THEN
      EXECUTE 'ALTER FUNCTION ' || signature || ' OWNER TO ' || quote_ident(pg_get_userbyid(table_owner));
      SELECT p.* INTO existing FROM pg_proc AS p WHERE p.oid = to_regprocedure(signature);
    END IF;
    FOR stranger IN ${strangers}
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
export const sections = (objects: ReadonlyArray<DdlObject>): ReadonlyArray<string> => {
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
