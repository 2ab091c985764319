/**
 * What the catalogue of a tenant's database says about the objects of the plane.
 *
 * One statement reads the facts, and takes no lock that a statement on the table would wait for. PgSchemaFindings
 * compares them with what `Ddl` makes.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as DdlEntries from "../../schema/DdlEntries.ts"
import type { Query } from "../../services/Connector.ts"

/** Whether the role may do with a table what a process that writes does. */
export const permittedOn = (table: string) =>
  ["SELECT", "INSERT", "UPDATE", "DELETE"].map((right) => `has_table_privilege(${table}, '${right}')`).join(" AND ")

const uniqueOnNames = DdlEntries.primaryKey.holds.replaceAll(
  "to_regclass('{schema:literal}.systemplane_entries')",
  "t.oid"
)

/** The objects of the schema `t.namespace` beside the table `t.oid`, whose owner is `t.owner`. */
const facts = `pg_catalog.json_build_object(
  'relations', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(c.relname, c.relkind, c.relowner = t.owner) ORDER BY c.relname), '[]')
    FROM pg_class AS c WHERE c.relnamespace = t.namespace AND c.relname LIKE 'systemplane%'
  ),
  'columns', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(r.name, a.attname, a.atthasdef) ORDER BY r.name, a.attnum), '[]')
    FROM (VALUES ('systemplane_entries'), ('systemplane_history')) AS r (name)
    JOIN pg_attribute AS a
      ON a.attrelid = to_regclass(t.schema || '.' || r.name) AND a.attnum > 0 AND NOT a.attisdropped
  ),
  'unique', ${uniqueOnNames},
  'ordered', ${DdlEntries.drawsInOrder("to_regclass(t.schema || '.systemplane_revision_seq')")},
  'triggers', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
      c.relname, g.tgname, CASE WHEN g.tgattr::text = '' THEN g.tgtype ELSE -1 END, g.tgenabled, encode(g.tgargs, 'escape'), g.tgqual IS NOT NULL, p.proname, p.pronamespace = t.namespace
    ) ORDER BY c.relname, g.tgname), '[]')
    FROM pg_class AS c
    JOIN pg_trigger AS g ON g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname LIKE 'systemplane%'
    JOIN pg_proc AS p ON p.oid = g.tgfoid
    WHERE c.relnamespace = t.namespace AND c.relname LIKE 'systemplane%' AND c.relkind IN ('r', 'p')
  ),
  'functions', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
      p.proname, oidvectortypes(p.proargtypes), p.prosrc, p.prosecdef, coalesce(pg_catalog.array_to_string(p.proconfig, '; '), ''),
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
    LATERAL (SELECT (pg_catalog.pg_identify_object('pg_class'::regclass, r.oid, 0)).schema) AS n
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
 * The facts, unless their digest is one of `$1`; and whether the role may use the table, sees all rows, and the
 * sequence is ahead. Fails if there is no table, or no column `revision`.
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

// A function or an operator that takes any type is named with its schema, here and in all statements of this folder:
// one in `public` that names the very types would match better. (`unnest` of several arrays is no call, but syntax.)
const versionsOf = (catalog: string, place: string, where: string) =>
  `(SELECT bit_xor(pg_catalog.hash_record_extended(ROW(c.xmin, ${place}), 0)) FROM ${catalog} AS c WHERE ${where})`

const tables =
  "c.oid IN (t.oid, to_regclass('systemplane_history'), to_regclass('systemplane_keys'), to_regclass('systemplane_revision_seq'))"

/**
 * The versions of the catalogue's rows about our objects, and what this role may do and see: equal as long as nothing
 * changes. It costs a tenth of the facts.
 */
export const glimpse = `
  SELECT pg_catalog.concat_ws('/', ${permittedOn("t.oid")}, row_security_active(t.oid),
    ${versionsOf("pg_class", "c.oid", tables)},
    ${versionsOf("pg_attribute", "c.attnum", "c.attrelid = t.oid AND c.attnum > 0")},
    ${versionsOf("pg_index", "c.indexrelid", "c.indrelid = t.oid")},
    ${versionsOf("pg_trigger", "c.oid", "c.tgrelid IN (t.oid, to_regclass('systemplane_history'))")},
    ${versionsOf("pg_proc", "c.oid", "c.proname LIKE 'systemplane%'")}
  ) AS digest
  FROM (SELECT to_regclass('systemplane_entries')::oid AS oid OFFSET 0) AS t`

export const Facts = Schema.Struct({
  /** Name, kind, and whether it belongs to the owner of the table. */
  relations: Schema.Array(Schema.Tuple([Schema.String, Schema.String, Schema.Boolean])),
  /** Relation, name, and whether it has a default. */
  columns: Schema.Array(Schema.Tuple([Schema.String, Schema.String, Schema.Boolean])),
  unique: Schema.Boolean,
  ordered: Schema.Boolean,
  /**
   * Table, name, `tgtype` (-1 if it fires for some columns only), `tgenabled`, its arguments, whether it has a `WHEN`,
   * its function, and whether that lies here.
   */
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
  /**
   * Name, types, body, whether it has its owner's rights, settings, whether the owner is the table's; 2: by everyone,
   * 1: by others.
   */
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
    const asks = schema !== null && !catalogue.held && !catalogue.hidden && catalogue.readable && isPrepared(facts)
    const [{ ahead }] = asks
      ? yield* Effect.flatMap(query(position(schema)), decodeAhead)
      : ([{ ahead: true }] as const)
    return { ...catalogue, ahead }
  }).pipe(Effect.catchTag("SchemaError", (cause) => Effect.fail(unexpected(cause))))

const isPrepared = (facts: Facts): boolean =>
  hasColumn(facts, "systemplane_entries", "revision") &&
  facts.relations.some(([name, kind]) => name === "systemplane_revision_seq" && kind === "S")

/** Whether a relation of ours has the column. */
export const hasColumn = (facts: Facts, relation: string, column: string): boolean =>
  facts.columns.some(([of, name]) => of === relation && name === column)
