/**
 * What the catalogue of a tenant's database says about the objects of the plane, and what is not as it should be.
 *
 * One statement reads the facts, and takes no lock that a statement on the table would wait for. The comparison with what
 * `Ddl` makes is pure. A finding `loses` if changes or revisions would get lost: `verify` refuses such a database. Any other
 * finding is a warning: an object is missing that is not needed to serve values, or is unsafe.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as DdlEntries from "../../schema/DdlEntries.ts"
import {
  type DdlObject,
  type FunctionObject,
  inSchema,
  type RelationObject,
  safePath,
  type TriggerObject,
  version
} from "../../schema/DdlObjects.ts"
import type { Query } from "../../services/Connector.ts"

/** Whether the role may do with a table what a process that writes does. */
export const permittedOn = (table: string) =>
  ["SELECT", "INSERT", "UPDATE", "DELETE"].map((right) => `has_table_privilege(${table}, '${right}')`).join(" AND ")

const uniqueOnNames = DdlEntries.primaryKey.holds.replaceAll(
  "to_regclass('{schema:literal}.systemplane_entries')",
  "t.oid"
)

/** The objects of the schema `t.namespace` beside the table `t.oid`, whose owner is `t.owner`. */
const facts = `json_build_object(
  'relations', (
    SELECT coalesce(json_agg(json_build_array(c.relname, c.relkind, c.relowner = t.owner) ORDER BY c.relname), '[]')
    FROM pg_class AS c WHERE c.relnamespace = t.namespace AND c.relname LIKE 'systemplane%'
  ),
  'columns', (
    SELECT coalesce(json_agg(json_build_array(r.name, a.attname, a.atthasdef) ORDER BY r.name, a.attnum), '[]')
    FROM (VALUES ('systemplane_entries'), ('systemplane_history')) AS r (name)
    JOIN pg_attribute AS a
      ON a.attrelid = to_regclass(t.schema || '.' || r.name) AND a.attnum > 0 AND NOT a.attisdropped
  ),
  'unique', ${uniqueOnNames},
  'ordered', ${DdlEntries.drawsInOrder("to_regclass(t.schema || '.systemplane_revision_seq')")},
  'triggers', (
    SELECT coalesce(json_agg(json_build_array(
      c.relname, g.tgname, g.tgtype, g.tgenabled, encode(g.tgargs, 'escape'), g.tgqual IS NOT NULL, p.proname, p.pronamespace = t.namespace
    ) ORDER BY c.relname, g.tgname), '[]')
    FROM pg_class AS c
    JOIN pg_trigger AS g ON g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname LIKE 'systemplane%'
    JOIN pg_proc AS p ON p.oid = g.tgfoid
    WHERE c.relnamespace = t.namespace AND c.relname LIKE 'systemplane%' AND c.relkind IN ('r', 'p')
  ),
  'functions', (
    SELECT coalesce(json_agg(json_build_array(
      p.proname, oidvectortypes(p.proargtypes), p.prosrc, p.prosecdef, coalesce(array_to_string(p.proconfig, '; '), ''),
      p.proowner = t.owner,
      (SELECT coalesce(max(CASE a.grantee WHEN 0 THEN 2 ELSE 1 END), 0)
        FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a WHERE a.grantee <> p.proowner)
    ) ORDER BY p.proname, 2), '[]')
    FROM pg_proc AS p WHERE p.pronamespace = t.namespace AND p.proname LIKE 'systemplane%'
  )
)`.replace("ORDER BY p.proname, 2)", "ORDER BY p.proname, p.proargtypes::text)")

const place = `(
    SELECT r.oid, coalesce(c.relnamespace, to_regnamespace(quote_ident(current_schema()))::oid) AS namespace,
      coalesce(n.schema, quote_ident(current_schema())) AS schema,
      coalesce(c.relowner, quote_ident(current_user)::regrole::oid) AS owner,
      c.relkind::text AS kind
    FROM to_regclass('systemplane_entries') AS r (oid)
    LEFT JOIN pg_class AS c ON c.oid = r.oid,
    LATERAL (SELECT (pg_identify_object('pg_class'::regclass, r.oid, 0)).schema) AS n
    OFFSET 0
  ) AS t`

const look = `
  SELECT
    current_user::text AS role,
    t.schema,
    t.oid IS NOT NULL AS "table",
    t.kind,
    coalesce(has_table_privilege(t.oid, 'SELECT'), true) AS readable,
    coalesce(${permittedOn("t.oid")}, true) AS writable,
    coalesce(row_security_active(t.oid), false) AS hidden,
    coalesce(pg_has_role(t.owner, 'USAGE') AND has_schema_privilege(t.namespace, 'CREATE'), false) AS "mayMend",
    coalesce(has_schema_privilege(t.namespace, 'CREATE'), true) AS "mayCreate",
    EXISTS (
      SELECT FROM pg_locks AS l WHERE l.relation = t.oid AND l.granted AND l.mode = 'AccessExclusiveLock'
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    ) AS held,
    ${facts} AS facts
  FROM ${place}`

/** What the plane asks of a database that has been prepared; parsed only if there is a table with revisions. */
const aheadOf = (sequence: string) =>
  DdlEntries.isAhead(
    sequence,
    "(SELECT max(e.revision) FROM systemplane_entries AS e WHERE e.revision <= 9007199254740991)"
  )

const position = (schema: string) =>
  `SELECT ${aheadOf(`to_regclass('${schema.replaceAll("'", "''")}.systemplane_revision_seq')`)} AS ahead`

/**
 * The facts, unless their digest is one of `$1`; and whether the role may use the table, sees all rows, and the sequence is ahead.
 * Fails if there is no table, or no column `revision`.
 */
export const glance = (seeded: string) => `
  SELECT
    g.schema, g.digest, g.permitted, g.hidden,
    CASE WHEN g.digest = ANY ($1::text[]) THEN NULL ELSE g.facts END AS facts,
    ${aheadOf("to_regclass(g.schema || '.systemplane_revision_seq')")} AS ahead,
    ${seeded} AS seeded
  FROM (
    SELECT g.*, encode(sha256(convert_to(g.schema || g.facts::text, 'UTF8')), 'hex') AS digest
    FROM (
      SELECT t.schema, ${facts} AS facts, ${permittedOn("t.oid")} AS permitted, row_security_active(t.oid) AS hidden
      FROM ${place}
      WHERE t.oid IS NOT NULL
      OFFSET 0
    ) AS g
    OFFSET 0
  ) AS g`

export const Facts = Schema.Struct({
  /** Name, kind, and whether it belongs to the owner of the table. */
  relations: Schema.Array(Schema.Tuple([Schema.String, Schema.String, Schema.Boolean])),
  /** Relation, name, and whether it has a default. */
  columns: Schema.Array(Schema.Tuple([Schema.String, Schema.String, Schema.Boolean])),
  unique: Schema.Boolean,
  ordered: Schema.Boolean,
  /** Table, name, `tgtype`, `tgenabled`, its arguments, whether it has a `WHEN`, its function, and whether that lies here. */
  triggers: Schema.Array(
    Schema.Tuple([
      Schema.String,
      Schema.String,
      Schema.Int,
      Schema.String,
      Schema.String,
      Schema.Boolean,
      Schema.String,
      Schema.Boolean
    ])
  ),
  /** Name, types, body, whether it has its owner's rights, settings, whether the owner is the table's; 2: by everyone, 1: by others. */
  functions: Schema.Array(
    Schema.Tuple([
      Schema.String,
      Schema.String,
      Schema.String,
      Schema.Boolean,
      Schema.String,
      Schema.Boolean,
      Schema.Int
    ])
  )
})
export type Facts = typeof Facts.Type

export const Catalog = Schema.Struct({
  role: Schema.String,
  /** Where the table is, or would be made: quoted if it has to be. `null` if the path leads nowhere. */
  schema: Schema.NullOr(Schema.String),
  table: Schema.Boolean,
  kind: Schema.NullOr(Schema.String),
  readable: Schema.Boolean,
  writable: Schema.Boolean,
  /** Whether a policy hides rows from the role. */
  hidden: Schema.Boolean,
  /** Whether the role may be expected to mend what is missing. */
  mayMend: Schema.Boolean,
  /** Whether the role may create objects in the schema. */
  mayCreate: Schema.Boolean,
  held: Schema.Boolean,
  facts: Facts
})

/** The catalogue, and whether the sequence is ahead of every row. */
export interface Catalog extends Schema.Schema.Type<typeof Catalog> {
  readonly ahead: boolean
}

const decodeCatalogue = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Catalog))
const decodeAhead = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Schema.Struct({ ahead: Schema.Boolean })))

const unexpected = (cause: unknown) =>
  new SqlError({ reason: new UnknownError({ cause, message: "Unexpected catalogue", operation: "query" }) })

/** The catalogue as it is now. The rows are looked at only if no transaction holds the table for itself. */
export const read = (query: Query): Effect.Effect<Catalog, SqlError> =>
  Effect.gen(function* () {
    const [catalogue] = yield* Effect.flatMap(query(look, []), decodeCatalogue)
    const { facts, schema } = catalogue
    const asks = schema !== null && !catalogue.held && catalogue.readable && isPrepared(facts)
    const [{ ahead }] = asks
      ? yield* Effect.flatMap(query(position(schema)), decodeAhead)
      : ([{ ahead: true }] as const)
    return { ...catalogue, ahead }
  }).pipe(Effect.catchTag("SchemaError", (cause) => Effect.fail(unexpected(cause))))

const isPrepared = (facts: Facts): boolean =>
  hasColumn(facts, "systemplane_entries", "revision") &&
  facts.relations.some(([name, kind]) => name === "systemplane_revision_seq" && kind === "S")

const hasColumn = (facts: Facts, relation: string, column: string): boolean =>
  facts.columns.some(([of, name]) => of === relation && name === column)

/** Something that is not as it should be. */
export interface Finding {
  readonly object: DdlObject
  /** Whether changes or revisions get lost. */
  readonly loses: boolean
  /** What is wrong, for an operator. */
  readonly problem: string
  /** The SQL that mends it, if that is short. */
  readonly sql?: string | undefined
}

/** What is not in order, in the order in which the objects build on each other. */
export const findings = (
  objects: ReadonlyArray<DdlObject>,
  { ahead, facts, schema }: { readonly facts: Facts; readonly ahead: boolean; readonly schema: string }
): ReadonlyArray<Finding> => {
  const found: Array<Finding> = []
  for (const object of objects) {
    switch (object.kind) {
      case "relation":
        found.push(...ofRelation(object, facts))
        break
      case "function":
        if (isRun(object, facts)) found.push(...ofFunction(object, facts, schema))
        break
      case "triggers": {
        const wrong = object.triggers.flatMap((trigger) => ofTrigger(trigger, facts))
        if (wrong.length > 0) {
          found.push({ object, loses: wrong.some(({ loses }) => loses), problem: wrong[0]!.problem })
        }
        break
      }
      case "rule":
        if (!ruleHolds(object, facts, ahead)) {
          found.push({
            object,
            loses: object !== DdlEntries.noDefault && !isOfHistory(object),
            problem: "is not as it should be"
          })
        }
    }
  }
  return found
}

const isOfHistory = ({ name }: DdlObject) => name.includes("systemplane_history")

const ofRelation = (object: RelationObject, facts: Facts): ReadonlyArray<Finding> => {
  const there = facts.relations.find(([name]) => name === object.relation)
  if (there === undefined || !object.relkinds.includes(there[1])) {
    return [{ object, loses: object === DdlEntries.table || object === DdlEntries.sequence, problem: "is missing" }]
  }
  return object.owned && !there[2]
    ? [{ object, loses: false, problem: "does not belong to the owner of systemplane_entries" }]
    : []
}

/** The triggers whose loss loses changes or revisions. */
const vital = [DdlEntries.bumpTrigger, DdlEntries.notifyTrigger, DdlEntries.notifyUpdateTrigger]

const triggerOf = (trigger: TriggerObject, facts: Facts) =>
  facts.triggers.find(([table, name]) => table === trigger.table && name === trigger.name)

/** Whether the trigger is one of another service, which does the same. */
const isTolerated = (trigger: TriggerObject, facts: Facts): boolean => {
  const there = triggerOf(trigger, facts)
  return there !== undefined && hasArguments(trigger, there[6], there[4]) && trigger.tolerated.includes(there[6])
}

/** Ours have none. That of another service may name the channel, which must be ours then. */
const hasArguments = (trigger: TriggerObject, run: string, args: string): boolean =>
  args === "" || (trigger.tolerated.includes(run) && args === "systemplane_changes\\000")

const ofTrigger = (trigger: TriggerObject, facts: Facts): ReadonlyArray<{ loses: boolean; problem: string }> => {
  const loses = vital.includes(trigger)
  const there = triggerOf(trigger, facts)
  if (there === undefined) return [{ loses, problem: "is missing" }]
  const [, , type, enabled, args, conditional, run, here] = there
  if (type !== trigger.tgtype || !hasArguments(trigger, run, args))
    return [{ loses, problem: "fires on something else" }]
  if (enabled !== "O" && enabled !== "A") return [{ loses, problem: "does not fire" }]
  if (trigger.tolerated.includes(run)) return []
  if (run !== trigger.function || !here) return [{ loses, problem: "runs another function" }]
  return enabled === trigger.enabled && conditional === trigger.conditional
    ? []
    : [{ loses: false, problem: "is outdated" }]
}

/** The function of another service's trigger is that service's business, and ours is not needed then. */
const isRun = (object: FunctionObject, facts: Facts): boolean => {
  const triggers = vital.filter((trigger) => trigger.function === object.name)
  return triggers.length === 0 || triggers.some((trigger) => !isTolerated(trigger, facts))
}

const versionOf = (body: string): number => Number(/^-- effect-systemplane (\d{1,9})\n/.exec(body)?.[1] ?? 0)

const ofFunction = (object: FunctionObject, facts: Facts, schema: string): ReadonlyArray<Finding> => {
  const there = facts.functions.find(([name, types]) => name === object.name && types === object.types)
  const loses = object === DdlEntries.drawRevision || object === DdlEntries.notify
  if (there === undefined) return [{ object, loses, problem: "is missing" }]
  const [, , body, definer, config, owned, others] = there
  const signature = `${schema}.${object.name}(${object.types})`
  if (versionOf(body) <= version) {
    if (body !== inSchema(object.body, schema)) {
      const known = object.older?.includes(body) === true
      return [{ object, loses: loses && !known, problem: known ? "is of an older version" : "has another body" }]
    }
    if (definer !== object.definer) {
      return [{ object, loses: object === DdlEntries.drawRevision, problem: "has other rights than it needs" }]
    }
  }
  const unsafe = (problem: string, sql: string) => [{ object, loses: false, problem, sql }]
  if (config !== `search_path=${safePath}`) {
    return unsafe("has another search_path", `ALTER FUNCTION ${signature} SET search_path = ${safePath};`)
  }
  if (!owned) return unsafe("does not belong to the owner of systemplane_entries", "")
  if (object.executable !== "everyone" && others > (object.executable === "named" ? 1 : 0)) {
    return unsafe("may be executed by other roles", `REVOKE ALL ON FUNCTION ${signature} FROM PUBLIC;`)
  }
  return []
}

const isThere = (facts: Facts, relation: string) => facts.relations.some(([name]) => name === relation)

/** What a table is made of comes with the table. */
const ruleHolds = (object: DdlObject, facts: Facts, ahead: boolean): boolean => {
  if (!isThere(facts, isOfHistory(object) ? "systemplane_history" : "systemplane_entries")) return true
  switch (object) {
    case DdlEntries.primaryKey:
      return facts.unique
    case DdlEntries.revisionColumn:
      return hasColumn(facts, "systemplane_entries", "revision")
    case DdlEntries.noDefault:
      return !facts.columns.some(
        ([of, name, hasDefault]) => of === "systemplane_entries" && name === "revision" && hasDefault
      )
    case DdlEntries.sequencePosition:
      return facts.ordered && ahead
    default:
      return ["change_id", "reason", "previous_revision", "redacted", "origin", "transaction_id"].every((column) =>
        hasColumn(facts, "systemplane_history", column)
      )
  }
}
