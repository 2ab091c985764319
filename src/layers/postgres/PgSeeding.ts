/**
 * Writes the defaults of the code as rows, for those who look at a database with SQL.
 *
 * ```
 *   one INSERT for all defaults ──▶ inserted
 *          │ the server refuses it because of what some default says: a CHECK, a trigger, the encoding;
 *          │ or a trigger of others changed a default, or may have
 *          ▼
 *   one transaction that tries each on its own ──▶ inserted, and which were refused with which code
 * ```
 *
 * Both ways take a constant number of round trips. A failure that concerns all defaults alike (no right to write, a
 * read-only server, no table) fails the whole; nothing depends on a seed, so the caller may go on without them.
 *
 * A trigger of others may rewrite `updated_by` or the value. The row would then look like an operator's, and keep every
 * later default of the code out of force (G7). So each row is looked at as it was stored, and one that is no untouched
 * seed is taken back: it counts as refused, with the code `SP002`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as SeedMark from "../../schema/SeedMark.ts"
import type { Query } from "../../services/Connector.ts"
import type { Seed } from "../../services/KeyRegistry.ts"
import type { RefusedSeed, Seeded } from "../../services/SchemaBootstrap.ts"
import * as PgOtherTriggers from "./PgOtherTriggers.ts"
import { arrayOf, namesOf, unexpectedShape } from "./PgRows.ts"

/**
 * Rows that exist are left out before the insert, since an insert that meets one would still draw a revision; `ON
 * CONFLICT` settles the race with another process.
 */
const insertFrom = (seeds: string) => `
  INSERT INTO systemplane_entries AS e (namespace, key, value, updated_by)
  SELECT s.namespace, s.key, s.value, ${SeedMark.seedMark("s.value")}
  FROM ${seeds}
  WHERE NOT EXISTS (
    SELECT FROM systemplane_entries AS o WHERE o.namespace = s.namespace AND o.key = s.key
  )
  ON CONFLICT (namespace, key) DO NOTHING`

/** The SQLSTATE of a seed that was stored otherwise than it was given. */
const changed = "SP002"

/**
 * Inserts all defaults. A cast that fails takes the statement back; what triggers do after the statement, it does not
 * see. Exported so that tests recognise it by identity.
 */
export const insertSeeds = `
  WITH inserted AS (
    ${insertFrom(`(
      SELECT u.namespace, u.key, u.value::jsonb AS value
      FROM unnest($1::text[], $2::text[], $3::text[]) AS u (namespace, key, value)
    ) AS s`)}
    RETURNING e.namespace, ${SeedMark.isUntouched("e")} AS untouched
  )
  SELECT i.namespace, CASE WHEN NOT i.untouched OR ${PgOtherTriggers.followsInserts}
    THEN ('effect-systemplane: a trigger may change the default of ' || i.namespace || '; each is tried alone')::date
  END AS torn
  FROM inserted AS i`

const Inserted = Schema.Array(Schema.Struct({ namespace: Schema.String }))
const decodeInserted = Schema.decodeUnknownEffect(Inserted)

/** Inserts the defaults that have no row, and says how many it inserted. */
const together = (query: Query, seeds: ReadonlyArray<Seed>): Effect.Effect<Seeded, SqlError> =>
  query(insertSeeds, [...namesOf(seeds), arrayOf(seeds.map(({ json }) => json))]).pipe(
    Effect.flatMap(decodeInserted),
    Effect.map((rows) => ({ inserted: rows.length, refused: [] })),
    unexpectedShape
  )

/** A `DO` block takes no parameters, so its input and its answer are settings of the transaction. */
const sendSeeds = "SELECT pg_catalog.set_config('systemplane.seeds', $1::text, true) AS sent"

/**
 * The names are taken out of the JSON within the guarded block, since they too may hold what the encoding has no
 * character for.
 */
const insertEach = `
DO $seed$
DECLARE
  seed json;
  place int := -1;
  written int;
  inserted int := 0;
  refused json[] := '{}';
BEGIN
  SET CONSTRAINTS ALL IMMEDIATE;
  FOR seed IN SELECT s.seed FROM pg_catalog.json_array_elements(pg_catalog.current_setting('systemplane.seeds')::json) AS s (seed) LOOP
    place := place + 1;
    BEGIN
      ${insertFrom("(SELECT seed ->> 0 AS namespace, seed ->> 1 AS key, (seed -> 2)::text::jsonb AS value) AS s")};
      GET DIAGNOSTICS written = ROW_COUNT;
      IF written > 0 AND NOT EXISTS (
        SELECT FROM systemplane_entries AS e
        WHERE e.namespace = seed ->> 0 AND e.key = seed ->> 1 AND ${SeedMark.isUntouched("e")}
      ) THEN
        RAISE EXCEPTION 'a trigger changes the default' USING ERRCODE = '${changed}';
      END IF;
      inserted := inserted + written;
    EXCEPTION WHEN OTHERS THEN
      refused := refused || pg_catalog.json_build_object('place', place, 'code', SQLSTATE);
    END;
  END LOOP;
  PERFORM pg_catalog.set_config(
    'systemplane.seeded',
    pg_catalog.json_build_object('inserted', inserted, 'refused', pg_catalog.to_json(refused))::text,
    true
  );
END $seed$`

const readSeeded = "SELECT pg_catalog.current_setting('systemplane.seeded')::json AS seeded"

const Answer = Schema.NonEmptyArray(
  Schema.Struct({
    seeded: Schema.Struct({
      inserted: Schema.Int,
      refused: Schema.Array(Schema.Struct({ place: Schema.Int, code: Schema.String }))
    })
  })
)
const decodeAnswer = Schema.decodeUnknownEffect(Answer)

/** The same, each on its own, in the transaction that `query` runs in. */
const oneByOne = (query: Query, seeds: ReadonlyArray<Seed>): Effect.Effect<Seeded, SqlError> =>
  Effect.andThen(
    Effect.andThen(query(sendSeeds, [textOf(seeds)]), query(insertEach)),
    Effect.flatMap(query(readSeeded), decodeAnswer)
  ).pipe(
    Effect.map(([{ seeded }]) => ({
      inserted: seeded.inserted,
      refused: seeded.refused.map(
        ({ code, place }): RefusedSeed => ({ namespace: seeds[place]!.namespace, key: seeds[place]!.key, code })
      )
    })),
    unexpectedShape
  )

/** As ASCII, so that a character which the database's encoding lacks fails its own default and not the statement. */
const textOf = (seeds: ReadonlyArray<Seed>): string =>
  `[${seeds
    .map(({ json, key, namespace }) => `[${JSON.stringify(namespace)},${JSON.stringify(key)},${json}]`)
    .join(",")}]`.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

/**
 * Whether the server refused something that one default said: its value or its name (22, 54), a constraint (23), or a
 * trigger of others that raises an error of its own (P0). Classes:
 * https://www.postgresql.org/docs/18/errcodes-appendix.html
 */
const isAboutOne = ({ reason }: EntryStoreError): boolean =>
  reason._tag === "Refused" && reason.code !== undefined && /^(22|23|54|P0)/.test(reason.code)

type Run = <A>(statements: (query: Query) => Effect.Effect<A, SqlError>) => Effect.Effect<A, EntryStoreError>

/** Seeds: `run` runs one statement, `runInTransaction` several. */
export const seed = (
  seeds: ReadonlyArray<Seed>,
  { run, runInTransaction }: { readonly run: Run; readonly runInTransaction: Run }
): Effect.Effect<Seeded, EntryStoreError> =>
  seeds.length === 0
    ? Effect.succeed({ inserted: 0, refused: [] })
    : Effect.catchIf(
        run((query) => together(query, seeds)),
        isAboutOne,
        () => runInTransaction((query) => oneByOne(query, seeds))
      )
