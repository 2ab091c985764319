/**
 * What the catalogue of a tenant's database says about the objects of the plane.
 *
 * One statement reads the facts, and takes no lock that a statement on the table would wait for. PgSchemaFindings
 * compares them with what `Ddl` makes. What a fact follows from has to be in the digest too (PgCatalogDigest).
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as DdlColumns from "../../../schema/ddl/DdlColumns.ts"
import * as DdlEntries from "../../../schema/ddl/DdlEntries.ts"
import * as DdlHistoryTable from "../../../schema/ddl/DdlHistoryTable.ts"
import { columnsOfIndex, isPlain, isWholeIndex, readBy } from "../../../schema/ddl/DdlObjects.ts"
import * as DdlSequence from "../../../schema/ddl/DdlSequence.ts"
import * as DdlTriggers from "../../../schema/ddl/DdlTriggers.ts"
import * as DdlUnsuitable from "../../../schema/ddl/DdlUnsuitable.ts"
import type { Query } from "../../../services/Connector.ts"
import * as PgCatalogDigest from "./PgCatalogDigest.ts"

const uniqueOnNames = DdlEntries.primaryKey.holds.replaceAll(
  "pg_catalog.to_regclass('{schema:literal}.systemplane_entries')",
  "t.oid"
)

/** The objects of the schema `t.namespace` beside the table `t.oid`, whose owner is `t.owner`. */
const facts = `pg_catalog.json_build_object(
  'relations', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', c.relname, 'kind', c.relkind, 'owned', c.relowner = t.owner, 'durable', c.relpersistence = 'p',
      'reads', CASE c.relkind WHEN 'v' THEN ${readBy("c")} END,
      'guarded', ${PgCatalogDigest.isGuarded("c")}
    ) ORDER BY c.relname), '[]')
    FROM pg_class AS c WHERE c.relnamespace = t.namespace AND c.relname LIKE 'systemplane%'
  ),
  'indexes', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('table', c.relname, 'on', ${columnsOfIndex("i")}) ORDER BY i.indexrelid), '[]')
    FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid AND ${isWholeIndex("i")}
    WHERE c.relnamespace = t.namespace AND c.relname IN ('systemplane_entries', 'systemplane_history')
  ),
  'unsuitable', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('table', p.name, 'problem', p.problem) ORDER BY p.name), '[]')
    FROM (${DdlUnsuitable.inNamespace("t.namespace")}) AS p
  ),
  'columns', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'table', r.name, 'name', a.attname, 'type', ${DdlColumns.typeOf("y")}, 'default', a.atthasdef
    ) ORDER BY r.name, a.attnum), '[]')
    FROM (VALUES ('systemplane_entries'), ('systemplane_history')) AS r (name)
    JOIN pg_attribute AS a
      ON a.attrelid = pg_catalog.to_regclass(t.schema || '.' || r.name)::oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type AS y ON y.oid = a.atttypid
  ),
  'unique', ${uniqueOnNames},
  'ordered', ${DdlSequence.drawsInOrder("pg_catalog.to_regclass(t.schema || '.systemplane_revision_seq')")},
  'filledHistory', ${DdlHistoryTable.isFilled("pg_catalog.to_regclass(t.schema || '.systemplane_history')", "pg_catalog.to_regclass(t.schema || '.systemplane_history_id_seq')")},
  'orderedHistory', ${DdlHistoryTable.identityCountsUp("pg_catalog.to_regclass(t.schema || '.systemplane_history')")},
  'triggers', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'table', c.relname, 'name', g.tgname, 'type', ${DdlTriggers.typeOf("g")}, 'of', ${DdlTriggers.columnsOf("g")}, 'tables', ${DdlTriggers.tablesOf("g")},
      'condition', ${DdlTriggers.conditionOf("g")}, 'enabled', g.tgenabled, 'arguments', pg_catalog.encode(g.tgargs, 'escape'),
      'function', p.proname, 'here', p.pronamespace = t.namespace, 'able', ${DdlTriggers.canDoItsPart("p")}
    ) ORDER BY c.relname, g.tgname), '[]')
    FROM pg_class AS c
    JOIN pg_trigger AS g ON g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname LIKE 'systemplane%'
    JOIN pg_proc AS p ON p.oid = g.tgfoid
    WHERE c.relnamespace = t.namespace AND c.relname LIKE 'systemplane%' AND c.relkind IN ('r', 'p')
  ),
  'functions', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', p.proname, 'types', pg_catalog.oidvectortypes(p.proargtypes), 'body', p.prosrc, 'definer', p.prosecdef,
      'settings', coalesce(pg_catalog.array_to_string(p.proconfig, '; '), ''), 'plain', ${isPlain("p")},
      'owned', p.proowner = t.owner, 'others', ${PgCatalogDigest.executableByOthers("p")}
    ) ORDER BY p.proname, p.proargtypes::text), '[]')
    FROM pg_proc AS p WHERE p.pronamespace = t.namespace AND p.proname LIKE 'systemplane%'
  )
)`

const look = `
  SELECT
    current_user::text AS role,
    t.schema,
    t.oid IS NOT NULL AS "table",
    coalesce(pg_catalog.has_table_privilege(t.oid, 'SELECT'), true) AS readable,
    coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass(t.schema || '.systemplane_history'), 'SELECT'), false) AS "historyReadable",
    coalesce(${PgCatalogDigest.permittedOn("t.oid")}, true) AS writable,
    coalesce(pg_catalog.pg_has_role(t.owner, 'USAGE') AND pg_catalog.has_schema_privilege(t.namespace, 'CREATE'), false) AS "mayMend",
    coalesce(pg_catalog.has_schema_privilege(t.namespace, 'CREATE'), true) AS "mayCreate",
    EXISTS (
      SELECT FROM pg_locks AS l WHERE l.relation IN (t.oid, pg_catalog.to_regclass(t.schema || '.systemplane_history')::oid)
        AND l.granted AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_backend_pid()
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    ) AS held,
    ${facts} AS facts
  FROM ${PgCatalogDigest.place}`

/** What the plane asks of a database that has been prepared; parsed only if there are the tables. */
const position = (schema: string, history: boolean) => {
  const sequence = `pg_catalog.to_regclass('${schema.replaceAll("'", "''")}.systemplane_revision_seq')`
  const aheadOfHistory = history
    ? DdlSequence.isAhead(sequence, DdlSequence.highestOfHistory(`${schema}.systemplane_history`))
    : "true"
  return `SELECT ${PgCatalogDigest.aheadOf(sequence)} AS ahead, ${aheadOfHistory} AS "aheadOfHistory"`
}

/** The facts, and the digest of what they follow from. No row if there is no table. */
export const inFull = `
  SELECT t.schema, ${PgCatalogDigest.digest} AS digest, ${facts} AS facts
  FROM ${PgCatalogDigest.place}
  WHERE t.oid IS NOT NULL`

export const Facts = Schema.Struct({
  relations: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      kind: Schema.String,
      /** Whether it belongs to the owner of the table of entries. */
      owned: Schema.Boolean,
      /** Whether it outlasts a crash of the server. */
      durable: Schema.Boolean,
      /** The relations of the schema that a view reads. */
      reads: Schema.NullOr(Schema.String),
      /** Whether no role but its owner may put a trigger on it. */
      guarded: Schema.Boolean
    })
  ),
  /** Those of the entries and of the history that any query may use. */
  indexes: Schema.Array(Schema.Struct({ table: Schema.String, on: Schema.String })),
  /** Tables that cannot be served. */
  unsuitable: Schema.Array(Schema.Struct({ table: Schema.String, problem: Schema.Literals(DdlUnsuitable.problems) })),
  columns: Schema.Array(
    Schema.Struct({
      table: Schema.String,
      name: Schema.String,
      type: Schema.String,
      default: Schema.Boolean
    })
  ),
  /** Whether a name is that of one row only. */
  unique: Schema.Boolean,
  /** Whether the sequence gives each number once, in order. */
  ordered: Schema.Boolean,
  /** Whether the ids of the history come from a sequence of its own. */
  filledHistory: Schema.Boolean,
  /** Whether that gives each id once, in order. */
  orderedHistory: Schema.Boolean,
  triggers: Schema.Array(
    Schema.Struct({
      table: Schema.String,
      name: Schema.String,
      /** `tgtype`, or -1 if it fires at the end of a transaction. */
      type: Schema.Int,
      /** The columns that an update has to name for it to fire. */
      of: Schema.String,
      tables: Schema.String,
      condition: Schema.String,
      enabled: Schema.String,
      arguments: Schema.String,
      function: Schema.String,
      /** Whether the function lies in the schema of the table. */
      here: Schema.Boolean,
      /** Whether the function can do what the trigger is for, if it is another service's. */
      able: Schema.Boolean
    })
  ),
  functions: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      types: Schema.String,
      body: Schema.String,
      definer: Schema.Boolean,
      settings: Schema.String,
      /** Whether it is of the language and the volatility of ours. */
      plain: Schema.Boolean,
      /** Whether it belongs to the owner of the table of entries. */
      owned: Schema.Boolean,
      /** As {@link PgCatalogDigest.executableByOthers} has it. */
      others: Schema.Int
    })
  )
})
export type Facts = typeof Facts.Type
export type Trigger = Facts["triggers"][number]

export const Catalog = Schema.Struct({
  role: Schema.String,
  /** Where the table is, or would be made: quoted if it has to be. `null` if the path leads nowhere. */
  schema: Schema.NullOr(Schema.String),
  table: Schema.Boolean,
  readable: Schema.Boolean,
  historyReadable: Schema.Boolean,
  writable: Schema.Boolean,
  /** Whether the role may be expected to mend what is missing. */
  mayMend: Schema.Boolean,
  /** Whether the role may create objects in the schema. */
  mayCreate: Schema.Boolean,
  held: Schema.Boolean,
  facts: Facts
})

/** The catalogue, and whether the sequence is ahead of every row and of every record. */
export interface Catalog extends Schema.Schema.Type<typeof Catalog>, Position {}

export interface Position {
  readonly ahead: boolean
  readonly aheadOfHistory: boolean
}

const decodeCatalogue = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Catalog))
const decodePosition = Schema.decodeUnknownEffect(
  Schema.NonEmptyArray(Schema.Struct({ ahead: Schema.Boolean, aheadOfHistory: Schema.Boolean }))
)

const unexpected = (cause: unknown) =>
  new SqlError({ reason: new UnknownError({ cause, message: "Unexpected catalogue", operation: "query" }) })

/** The catalogue as it is now. The rows are looked at only if no transaction holds the tables for itself. */
export const read = (query: Query): Effect.Effect<Catalog, SqlError> =>
  Effect.gen(function* () {
    const [catalogue] = yield* Effect.flatMap(query(look, []), decodeCatalogue)
    const { facts, schema } = catalogue
    const asks = schema !== null && !catalogue.held && catalogue.readable && isPrepared(facts)
    const [found] = asks
      ? yield* Effect.flatMap(
          query(
            position(
              schema,
              catalogue.historyReadable && columnOf(facts, "systemplane_history", "revision")?.type === "bigint"
            )
          ),
          decodePosition
        )
      : ([{ ahead: true, aheadOfHistory: true }] as const)
    return { ...catalogue, ...found }
  }).pipe(Effect.catchTag("SchemaError", (cause) => Effect.fail(unexpected(cause))))

/** Whether there are all rows, as numbers, and a sequence to hold them against. */
const isPrepared = (facts: Facts): boolean =>
  facts.unsuitable.length === 0 &&
  columnOf(facts, "systemplane_entries", "revision")?.type === "bigint" &&
  facts.relations.some(({ kind, name }) => name === "systemplane_revision_seq" && kind === "S")

/** A column of a relation of ours. */
export const columnOf = (facts: Facts, relation: string, column: string) =>
  facts.columns.find(({ name, table }) => table === relation && name === column)

/** Whether the table is that of a layout in which one database has many tenants. */
export const holdsManyTenants = (facts: Facts): boolean =>
  columnOf(facts, "systemplane_entries", "tenant_id") !== undefined
