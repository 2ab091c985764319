/**
 * A glance at a tenant's database: whether it is prepared. It takes half the time of the look that says what is missing, since a
 * new session has to learn what each catalogue table looks like that a statement names: this one names a single one, and asks
 * functions for the rest. What they cannot tell for certain counts as missing, and is looked for.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Query } from "../../services/Connector.ts"
import type { Seed } from "../../services/KeyRegistry.ts"
import * as PgCatalog from "./PgCatalog.ts"
import * as PgRows from "./PgRows.ts"

/** The triggers that fire, what they run, and what else has to be there. Asking for the rights on a column that is missing fails. */
const glance = (seeded: string) => `
  SELECT
    g.tgname AS name,
    g.tgtype AS type,
    pg_get_functiondef(g.tgfoid) AS runs,
    has_column_privilege(g.tgrelid, 'revision', 'SELECT') AS revision,
    ${PgCatalog.permittedOn("g.tgrelid")} AS permitted,
    ${PgCatalog.sequenceIn("(pg_identify_object('pg_class'::regclass, g.tgrelid, 0)).schema")} AS sequence,
    ${seeded} AS seeded
  FROM pg_trigger AS g
  WHERE ${PgCatalog.firesOn("to_regclass('systemplane_entries')")}`

const atSchema = glance("true")

/** Waits for whoever holds the table for himself, as seeding does. */
const atSchemaAndSeeds = glance(`
  NOT EXISTS (
    SELECT FROM unnest($1::text[], $2::text[]) AS s (namespace, key)
    WHERE NOT EXISTS (SELECT FROM systemplane_entries AS e WHERE e.namespace = s.namespace AND e.key = s.key)
  )`)

const Rows = Schema.Array(
  Schema.Struct({
    name: Schema.String,
    type: Schema.Int,
    runs: Schema.String,
    revision: Schema.Boolean,
    permitted: Schema.Boolean,
    sequence: Schema.Boolean,
    seeded: Schema.Boolean
  })
)
const decodeRows = Schema.decodeUnknownEffect(Rows)

/** Whether everything is there, is as it should be, and may be used; each of these defaults too. `false` also where that cannot be told. */
export const findsEverything = (query: Query, seeds: ReadonlyArray<Seed>): Effect.Effect<boolean> =>
  (seeds.length === 0 ? query(atSchema) : query(atSchemaAndSeeds, PgRows.namesOf(seeds))).pipe(
    Effect.flatMap(decodeRows),
    Effect.map((rows) => {
      // What is asked of the table is the same in each row.
      const [table] = rows
      if (table === undefined) return false
      const triggers = rows.map(({ name, runs, type }) => ({ name, type, runs: definition(runs) }))
      const missing = PgCatalog.missingParts({ ...table, table: true, triggers, functions: [] })
      return table.permitted && table.seeded && missing.length === 0
    }),
    Effect.orElseSucceed(() => false)
  )

/** As PostgreSQL prints it. Should a version print it otherwise, nothing is recognised, and the look finds that all is well. */
const printed = /^CREATE OR REPLACE FUNCTION (?:\S*\.)?(\w+)\(\)\n(.*)\nAS \$function\$(.*)\$function\$\n$/s

const definition = (text: string): PgCatalog.CatalogFunction =>
  Option.match(Option.fromNullOr(printed.exec(text)), {
    onNone: () => ({ name: "", body: "", definer: false }),
    onSome: ([, name = "", options = "", body = ""]) => ({
      name,
      body,
      definer: options.split("\n").includes(" SECURITY DEFINER")
    })
  })
