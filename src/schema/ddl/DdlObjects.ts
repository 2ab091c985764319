/**
 * The objects of a tenant's database as data: tables, functions and triggers, each with the SQL that makes it and the
 * SQL that tells whether it is in order. `DdlEntries`, `DdlHistory`, `DdlKeys` and `DdlPeople` list them, `DdlScript`
 * makes statements of them, and `postgres/schema/PgSchemaFindings` compares them with what a database has.
 *
 * The names are those that services built on LerianStudio's lib-systemplane use, so that both may work on one database.
 * The functions have names of our own: triggers that such a service has installed stay as they are.
 *
 * The text of an object holds `{schema}` in place of the schema's quoted name, and `{schema:literal}` inside of a
 * string constant. PostgreSQL 14 or newer.
 *
 * @since 0.1.0
 */

/**
 * One part of the schema: what to call it, and the statements that make or mend it.
 *
 * @since 0.1.0
 */
export interface Part {
  readonly name: string
  readonly statements: ReadonlyArray<string>
}

/** The version of the library that last changed the body of a function, if that says no other. */
const firstVersion = 2

/**
 * A function body, with the version of the library that last changed it as its first line: an older library leaves it
 * alone, and one that did not change it since takes it for its own.
 */
export const versioned = (body: string, version: number = firstVersion): string =>
  `-- effect-systemplane ${version}\n${body.trim()}\n`

/** The version in a body; 0 if there is none. */
export const versionOf = (body: string): number => Number(/^-- effect-systemplane (\d{1,9})\n/.exec(body)?.[1] ?? 0)

/** The only path on which a function of ours looks for names. */
export const safePath = "pg_catalog, pg_temp"

/**
 * The key of the advisory lock that serialises changes of one database's schema and revisions: the first 8 bytes of
 * "systempl" as a number, which other programs are unlikely to use.
 */
export const lockKey = "8320808730298773612"

/** Who may execute a function. */
export type Executable = "owner" | "named" | "everyone"

/** A function that must have exactly this body, these rights and no others. */
export interface FunctionObject {
  readonly kind: "function"
  readonly name: string
  /** The types of its arguments, as they identify it: `integer, integer`. */
  readonly types: string
  /** Its arguments as `CREATE FUNCTION` has them. */
  readonly arguments: string
  readonly returns: string
  readonly body: string
  /** Whether it runs with the rights of its owner. */
  readonly definer: boolean
  /**
   * `owner`: by its owner alone. `named`: by roles that were granted it too. `everyone`: it has the caller's rights.
   */
  readonly executable: Executable
  /** Bodies of older versions of this library that lose nothing. */
  readonly older?: ReadonlyArray<string> | undefined
}

/** A trigger that must be there, be enabled, and fire when it says. */
export interface TriggerObject {
  readonly kind: "trigger"
  readonly name: string
  readonly table: string
  /** `pg_trigger.tgtype`: row 1, before 2, insert 4, delete 8, update 16, truncate 32. */
  readonly tgtype: number
  /** The column that an update has to name for it to fire: the empty text if it fires for all. */
  readonly of: string
  /** From `BEFORE` or `AFTER` up to `EXECUTE FUNCTION`. */
  readonly fires: string
  /** Its `WHEN`, as {@link DdlTriggers.conditionOf} shows it: the empty text if there is none. */
  readonly condition: string
  /** Conditions of older versions and other services under which no change is lost. */
  readonly acceptable: ReadonlyArray<string>
  /** The names of its transition tables, as `old/new`. */
  readonly tables: string
  readonly function: string
  /** Functions of other services that do the same. */
  readonly tolerated: ReadonlyArray<string>
  /** `O`: not while a subscriber applies what it replicates. `R`: only then. `A`: always. */
  readonly enabled: "O" | "R" | "A"
}

/**
 * Triggers that are made together, since a change between them would be lost; `afterwards` runs once they were made
 * anew.
 */
export interface TriggerGroup {
  readonly kind: "triggers"
  readonly name: string
  readonly triggers: ReadonlyArray<TriggerObject>
  readonly afterwards: ReadonlyArray<string>
}

/** A table, sequence or view that must be there. What it is made of is looked at by other objects. */
export interface RelationObject {
  readonly kind: "relation"
  readonly name: string
  readonly relation: string
  /** `pg_class.relkind` values that will do. */
  readonly relkinds: ReadonlyArray<string>
  readonly owned: boolean
  /** The table that a view must read: it goes on reading one that was renamed. */
  readonly reads?: string | undefined
  readonly create: ReadonlyArray<string>
}

/**
 * An index that a table must have, whatever its name is: a table that was put in the place of another has indexes of
 * other names, and the names go on belonging to the other.
 */
export interface IndexObject {
  readonly kind: "index"
  readonly name: string
  /** The name that it is given if no other relation has it. */
  readonly index: string
  readonly table: string
  /** Its columns as {@link columnsOfIndex} shows them. */
  readonly on: string
}

export const index = (table: string, suffix: string, on: string): IndexObject => ({
  kind: "index",
  name: `index ${table}_${suffix}_idx`,
  index: `${table}_${suffix}_idx`,
  table,
  on
})

/** The columns of the index that is this row of `pg_index`. */
export const columnsOfIndex = (index: string): string => `(
    SELECT pg_catalog.string_agg(a.attname::text || CASE k.option & 1::smallint WHEN 1::smallint THEN ' DESC' ELSE '' END, ', ' ORDER BY k.place)
    FROM unnest(${index}.indkey::smallint[], ${index}.indoption::smallint[]) WITH ORDINALITY AS k (attnum, option, place)
    JOIN pg_attribute AS a ON a.attrelid = ${index}.indrelid AND a.attnum = k.attnum
  )`

/** Whether any query may use it, by nothing but columns. */
export const isWholeIndex = (index: string): string =>
  `${index}.indisvalid AND ${index}.indpred IS NULL AND ${index}.indexprs IS NULL`

/** The relations of the same schema that a view reads. */
export const readBy = (view: string): string => `(
    SELECT pg_catalog.string_agg(DISTINCT r.relname::text, ', ')
    FROM pg_rewrite AS w
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass::oid AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass::oid
    JOIN pg_class AS r ON r.oid = d.refobjid AND r.oid <> w.ev_class
    WHERE w.ev_class = ${view}.oid AND r.relnamespace = ${view}.relnamespace
  )`

/** Anything else: SQL that says whether it is so, and what makes it so. */
export interface RuleObject {
  readonly kind: "rule"
  readonly name: string
  readonly holds: string
  /** The table whose rows `holds` looks at. */
  readonly reads?: string | undefined
  readonly mend: ReadonlyArray<string>
}

export type DdlObject = FunctionObject | TriggerGroup | RelationObject | IndexObject | RuleObject

/**
 * Whether a function is what `CREATE FUNCTION … LANGUAGE plpgsql` makes: one that may change rows, and sees changes.
 */
export const isPlain = (fn: string): string =>
  `${fn}.prokind = 'f' AND ${fn}.provolatile = 'v' AND NOT ${fn}.proisstrict AND ${fn}.prolang = (SELECT l.oid FROM pg_language AS l WHERE l.lanname = 'plpgsql')`

/** A trigger function with its owner's rights, executable by no other role. */
export const definer = (
  name: string,
  body: string,
  { older, version }: { readonly older?: ReadonlyArray<string>; readonly version?: number } = {}
): FunctionObject => ({
  kind: "function",
  name,
  types: "",
  arguments: "",
  returns: "trigger",
  body: versioned(body, version),
  definer: true,
  executable: "owner",
  older
})

/** A trigger function with the rights of the role that fires it. */
export const invoker = (...args: Parameters<typeof definer>): FunctionObject => ({
  ...definer(...args),
  definer: false
})

/** A trigger that is made by itself. */
export const alone = (trigger: TriggerObject, afterwards: ReadonlyArray<string> = []): TriggerGroup => ({
  kind: "triggers",
  name: trigger.name,
  triggers: [trigger],
  afterwards
})

const bits = { row: 1, before: 2, insert: 4, delete: 8, update: 16, truncate: 32 } as const

/** A trigger from its words. */
export const trigger = (options: {
  readonly name: string
  readonly table?: string
  readonly when: "BEFORE" | "AFTER"
  readonly on: ReadonlyArray<"INSERT" | "UPDATE" | "DELETE" | "TRUNCATE">
  readonly of?: string
  readonly each: "ROW" | "STATEMENT"
  readonly before?: string
  readonly after?: string
  readonly condition?: { readonly sql: string; readonly shown: string }
  readonly acceptable?: ReadonlyArray<string>
  readonly run: string
  readonly tolerated?: ReadonlyArray<string>
  readonly enabled?: TriggerObject["enabled"]
}): TriggerObject => ({
  kind: "trigger",
  name: options.name,
  table: options.table ?? "systemplane_entries",
  tgtype:
    (options.each === "ROW" ? bits.row : 0) +
    (options.when === "BEFORE" ? bits.before : 0) +
    options.on.reduce((sum, event) => sum + bits[event.toLowerCase() as Lowercase<typeof event>], 0),
  of: options.of ?? "",
  fires: [
    `${options.when} ${options.on.join(" OR ")}${options.of === undefined ? "" : ` OF ${options.of}`} ON {schema}.${options.table ?? "systemplane_entries"}`,
    options.before === undefined && options.after === undefined ? "" : " REFERENCING",
    options.before === undefined ? "" : ` OLD TABLE AS ${options.before}`,
    options.after === undefined ? "" : ` NEW TABLE AS ${options.after}`,
    ` FOR EACH ${options.each}`,
    options.condition === undefined ? "" : ` WHEN (${options.condition.sql})`
  ].join(""),
  condition: options.condition?.shown ?? "",
  acceptable: options.acceptable ?? [],
  tables: `${options.before ?? ""}/${options.after ?? ""}`,
  function: options.run,
  tolerated: options.tolerated ?? [],
  enabled: options.enabled ?? "O"
})

/** The first lines of a trigger function that runs with its owner's rights: it serves its own table and no other. */
export const onlyOn = (table: string): string => `
  IF TG_RELID <> '{schema:literal}.${table}'::regclass THEN
    RAISE EXCEPTION 'this trigger function serves ${table} alone' USING ERRCODE = 'insufficient_privilege';
  END IF;`

/** A setting of the transaction, or null if it is not set. */
export const setting = (name: string): string => `nullif(current_setting('systemplane.${name}', true), '')`

export const isOn = (name: string): string => `current_setting('systemplane.${name}', true) IS NOT DISTINCT FROM 'on'`

/** Whether every statement of the transaction sees what was committed when its first one began, and nothing later. */
export const keepsSnapshot = "current_setting('transaction_isolation') IN ('repeatable read', 'serializable')"

/** Text with the schema filled in: its name as `quote_ident` gives it, which may itself hold what is replaced. */
export const inSchema = (text: string, quotedSchema: string): string =>
  text.replace(/\{schema(:literal)?\}/g, (_, literal) =>
    literal === undefined ? quotedSchema : quotedSchema.replaceAll("'", "''")
  )
