/**
 * What the catalogue of a tenant's database says about the schema.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as DdlObjects from "../../schema/DdlObjects.ts"
import type { Query } from "../../services/Connector.ts"

/** Whether the role may do with a table what the plane does at run time. */
export const permittedOn = (table: string) =>
  ["SELECT", "INSERT", "UPDATE", "DELETE"].map((right) => `has_table_privilege(${table}, '${right}')`).join(" AND ")

/** Whether the sequence of revisions is in a schema. */
export const sequenceIn = (schema: string) => `
  coalesce(
    (pg_identify_object('pg_class'::regclass, to_regclass(${schema} || '.systemplane_revision_seq'), 0)).type = 'sequence',
    false
  )`

/** Which rows of `pg_trigger AS g` are triggers on a table that fire for whoever writes there. */
export const firesOn = (table: string) => `
  g.tgrelid = ${table} AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')`

const describeFunction = "json_build_object('name', p.proname, 'body', p.prosrc, 'definer', p.prosecdef)"

/**
 * One look at the catalogue. Takes no lock that any statement on the table would wait for. By functions where there are any: a new
 * session would first have to learn what a catalogue table looks like.
 */
const look = `
  SELECT
    current_user::text AS role,
    t.schema,
    t.schema IS DISTINCT FROM quote_ident(current_schema()) AS elsewhere,
    t.oid IS NOT NULL AS "table",
    ${sequenceIn("t.schema")} AS sequence,
    EXISTS (
      SELECT FROM pg_attribute AS a WHERE a.attrelid = t.oid AND a.attname = 'revision' AND NOT a.attisdropped
    ) AS revision,
    coalesce(${permittedOn("t.oid")}, true) AS permitted,
    ARRAY (
      SELECT json_build_object('name', g.tgname, 'type', g.tgtype, 'runs', ${describeFunction})
      FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid
      WHERE ${firesOn("t.oid")}
    ) AS triggers,
    ARRAY (
      SELECT ${describeFunction}
      FROM pg_proc AS p
      WHERE p.oid IN (${DdlObjects.functions.map(({ name }) => `to_regprocedure(t.schema || '.${name}()')`).join(", ")})
    ) AS functions
  FROM (
    SELECT r.oid, coalesce(o.schema, quote_ident(current_schema())) AS schema
    FROM to_regclass('systemplane_entries') AS r (oid), pg_identify_object('pg_class'::regclass, r.oid, 0) AS o
    OFFSET 0
  ) AS t`

const CatalogFunction = Schema.Struct({ name: Schema.String, body: Schema.String, definer: Schema.Boolean })
export type CatalogFunction = typeof CatalogFunction.Type

export const Catalog = Schema.Struct({
  role: Schema.String,
  /** Where the table is, or would be made: quoted where it has to be. `null` where the path leads nowhere. */
  schema: Schema.NullOr(Schema.String),
  elsewhere: Schema.Boolean,
  table: Schema.Boolean,
  sequence: Schema.Boolean,
  revision: Schema.Boolean,
  permitted: Schema.Boolean,
  triggers: Schema.Array(Schema.Struct({ name: Schema.String, type: Schema.Int, runs: CatalogFunction })),
  functions: Schema.Array(CatalogFunction)
})
export type Catalog = typeof Catalog.Type

const decodeCatalogue = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Catalog))

/** The catalogue as it is now. */
export const read = (query: Query): Effect.Effect<Catalog, SqlError> =>
  query(look, []).pipe(
    Effect.flatMap(decodeCatalogue),
    Effect.map(([catalogue]) => catalogue),
    Effect.catchTag("SchemaError", (cause) =>
      Effect.fail(
        new SqlError({ reason: new UnknownError({ cause, message: "Unexpected catalogue", operation: "query" }) })
      )
    )
  )

/** The parts that are missing or outdated, in the order in which they build on each other. */
export const missingParts = (
  catalogue: Pick<Catalog, "table" | "sequence" | "revision" | "triggers" | "functions">
): ReadonlyArray<DdlObjects.Part> => {
  const missing = new Set<DdlObjects.Part>()
  if (!catalogue.sequence) missing.add(DdlObjects.sequence)
  if (!catalogue.table) missing.add(DdlObjects.table)
  if (catalogue.table && !(catalogue.revision && catalogue.sequence)) missing.add(DdlObjects.revisionColumn)
  for (const trigger of DdlObjects.triggers) {
    const found = catalogue.triggers.find(({ name }) => name === trigger.name)
    const fires = found?.type === trigger.tgtype && trigger.functions.includes(found.runs.name)
    if (!fires) missing.add(trigger)
    // The function of another service's trigger is that service's business.
    const own = DdlObjects.functions.find(({ name }) => name === (fires ? found.runs.name : trigger.functions[0]))
    const there = fires ? found.runs : catalogue.functions.find(({ name }) => name === own?.name)
    if (own !== undefined && (there?.body !== own.body || there.definer !== own.definer)) missing.add(own)
  }
  return DdlObjects.parts.filter((part) => missing.has(part))
}
