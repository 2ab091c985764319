/**
 * Whether the digest of the catalogue is another one as soon as a fact is, or none: each database with a digest that was
 * found in order counts as in order.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as PgCatalog from "../../src/layers/postgres/schema/PgCatalog.ts"
import * as PgCatalogDigest from "../../src/layers/postgres/schema/PgCatalogDigest.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"

const ofFunction = (f: string) => [
  `DROP FUNCTION ${f} CASCADE`,
  `ALTER FUNCTION ${f} OWNER TO @`,
  `ALTER FUNCTION ${f} RESET search_path`,
  `ALTER FUNCTION ${f} SET search_path = public`,
  `ALTER FUNCTION ${f} SECURITY DEFINER`,
  `ALTER FUNCTION ${f} SECURITY INVOKER`,
  `ALTER FUNCTION ${f} STRICT`,
  `ALTER FUNCTION ${f} STABLE`,
  `GRANT EXECUTE ON FUNCTION ${f} TO @`,
  `GRANT EXECUTE ON FUNCTION ${f} TO PUBLIC`,
  `REVOKE ALL ON FUNCTION ${f} FROM PUBLIC`,
  `UPDATE pg_proc SET prosrc = prosrc || ' ' WHERE oid = '${f}'::regprocedure`,
  `UPDATE pg_proc SET prolang = 14 WHERE oid = '${f}'::regprocedure`
]

const ofTrigger = (g: string, table: string) => [
  `DROP TRIGGER ${g} ON ${table}`,
  ...["DISABLE", "ENABLE ALWAYS", "ENABLE REPLICA"].map((how) => `ALTER TABLE ${table} ${how} TRIGGER ${g}`),
  ...[
    "tgtype = tgtype # 2",
    "tgdeferrable = true",
    "tgargs = 'x'",
    "tgattr = '2'",
    "tgnewtable = 'x'",
    "tgqual = NULL",
    "tgqual = (SELECT o.tgqual FROM pg_trigger AS o WHERE o.tgname = 'systemplane_apply_once_trigger')",
    "tgfoid = 'systemplane_keys_keep()'::regprocedure"
  ].map((set) => `UPDATE pg_trigger SET ${set} WHERE tgname = '${g}'`)
]

const ofColumn = (table: string, column: string, type: string) => [
  `ALTER TABLE ${table} DROP COLUMN ${column} CASCADE`,
  `ALTER TABLE ${table} RENAME ${column} TO other`,
  `ALTER TABLE ${table} ALTER ${column} DROP DEFAULT`,
  `CREATE DOMAIN public.d AS ${type}; DROP VIEW systemplane_recent_changes; ALTER TABLE ${table} ALTER ${column} TYPE public.d`,
  ...["atttypid = 'int4'::regtype", "attcollation = (SELECT oid FROM pg_collation WHERE collname = 'loose')"].map(
    (set) => `UPDATE pg_attribute SET ${set} WHERE attrelid = '${table}'::regclass AND attname = '${column}'`
  )
]

const ofIndex = (index: string) =>
  [
    "indisvalid = false",
    "indimmediate = false",
    "indisunique = NOT indisunique",
    "indoption = '1 1 1'",
    "indkey = '4'"
  ].map((set) => `UPDATE pg_index SET ${set} WHERE indexrelid = '${index}'::regclass`)

const foreign = (table: string, name: string, owner: string) =>
  `CREATE FUNCTION public.${name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
   ALTER FUNCTION public.${name}() OWNER TO ${owner};
   CREATE TRIGGER foreign_trigger BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION public.${name}()`

const ofTable = (table: string) => [
  `DROP TABLE ${table} CASCADE`,
  `ALTER TABLE ${table} RENAME TO other`,
  `ALTER TABLE ${table} OWNER TO @`,
  `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
  `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY; GRANT SELECT ON ${table} TO @; SET LOCAL ROLE @`,
  `ALTER TABLE ${table} OWNER TO @; ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
  `GRANT TRIGGER ON ${table} TO @`,
  `GRANT TRIGGER ON ${table} TO PUBLIC`,
  `GRANT SELECT ON ${table} TO @`,
  `CREATE RULE r AS ON INSERT TO ${table} DO INSTEAD NOTHING`,
  `CREATE TABLE public.parent (); ALTER TABLE ${table} INHERIT public.parent`,
  `CREATE TABLE public.child () INHERITS (${table})`,
  `ALTER TABLE ${table} SET LOGGED`,
  `ALTER TABLE ${table} SET UNLOGGED`,
  `ALTER TABLE ${table} ADD COLUMN tenant_id text`,
  foreign(table, "spy", "@"),
  foreign(table, "systemplane_spy", "@"),
  foreign(table, "systemplane_spy", "postgres")
]

const ofSequence = (sequence: string) => [
  ...["CACHE 5", "INCREMENT 2", "CYCLE", "MAXVALUE 100000", "AS int", "OWNED BY NONE", "MINVALUE -5"].map(
    (how) => `ALTER SEQUENCE ${sequence} ${how}`
  ),
  `DROP SEQUENCE ${sequence} CASCADE`,
  `ALTER SEQUENCE ${sequence} RENAME TO other`
]

const others = [
  "CREATE SEQUENCE public.q CACHE 9 OWNED BY systemplane_history.key",
  "DROP VIEW systemplane_recent_changes",
  `DROP VIEW systemplane_recent_changes; ALTER TABLE systemplane_history RENAME TO other;
   CREATE VIEW systemplane_recent_changes AS SELECT * FROM other; CREATE TABLE systemplane_history (LIKE other INCLUDING ALL)`,
  `DROP VIEW systemplane_recent_changes;
   CREATE VIEW systemplane_recent_changes AS SELECT h.id FROM systemplane_history AS h JOIN systemplane_entries USING (key)`,
  "ALTER TABLE systemplane_history ALTER id DROP IDENTITY",
  "CREATE INDEX ON systemplane_entries (value)",
  "ALTER SCHEMA public RENAME TO elsewhere; SET LOCAL search_path = elsewhere"
]

/** All that is ours goes to the owner of the table. */
const ownedByRole = `DO $own$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT 'ALTER ' || CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END || ' ' || c.oid::regclass AS command
    FROM pg_class AS c WHERE c.relname LIKE 'systemplane%' AND c.relkind IN ('r', 'v', 'S') AND NOT EXISTS (
      SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'i' AND c.relkind = 'S'
    )
    UNION ALL SELECT 'ALTER FUNCTION ' || p.oid::regprocedure FROM pg_proc AS p WHERE p.proname LIKE 'systemplane%'
  LOOP
    EXECUTE r.command || ' OWNER TO @';
  END LOOP;
END $own$`

const tables = ["systemplane_entries", "systemplane_history", "systemplane_keys", "systemplane_processes"]

const changes = [
  ...["draw_revision", "notify"].flatMap((name) => ofFunction(`systemplane_entries_${name}()`)),
  ...ofFunction("systemplane_sequence_draw(regclass, bigint)"),
  ...ofTrigger("systemplane_notify_update_trigger", "systemplane_entries"),
  ...ofTrigger("systemplane_record_insert_trigger", "systemplane_entries"),
  ...ofTrigger("systemplane_history_adopt_trigger", "systemplane_history"),
  ...ofTrigger("systemplane_keys_keep_trigger", "systemplane_keys"),
  ...ofColumn("systemplane_entries", "key", "text"),
  ...ofColumn("systemplane_entries", "revision", "bigint"),
  ...ofColumn("systemplane_history", "value", "jsonb"),
  ...ofColumn("systemplane_history", "id", "bigint"),
  ...["systemplane_entries_pkey", "systemplane_history_key_idx"].flatMap(ofIndex),
  ...tables.flatMap(ofTable),
  ...["revision", "history_id", "secrets"].flatMap((name) => ofSequence(`systemplane_${name}_seq`)),
  ...others
]

describe("the digest of the catalogue", () => {
  it.live(
    "G13: a session sees rules, children and parents of a table, also second ones, and is not troubled by functions of strangers",
    () =>
      Effect.gen(function* () {
        const stranger = yield* TestDatabase.makeRole
        const database = yield* TestDatabase.make
        yield* Catalog.prepare(database)
        const glimpse = Effect.map(database.run(PgCatalogDigest.glimpse), ([found]) => found.digest)
        yield* Effect.forEach(
          tables.filter((table) => table !== "systemplane_processes"),
          Effect.fnUntraced(function* (table) {
            const rule = `CREATE RULE r AS ON INSERT TO ${table} DO INSTEAD NOTHING`
            const child = `CREATE TABLE public.child () INHERITS (${table})`
            yield* Effect.forEach(
              [
                [
                  "CREATE TABLE public.parent ()",
                  `ALTER TABLE ${table} INHERIT public.parent`,
                  `ALTER TABLE ${table} NO INHERIT public.parent; DROP TABLE public.parent`
                ],
                [`${child}; DROP TABLE public.child`, child, "DROP TABLE public.child"],
                [
                  `${rule}; ALTER TABLE ${table} DISABLE RULE r`,
                  `ALTER TABLE ${table} ENABLE RULE r`,
                  `DROP RULE r ON ${table}`
                ],
                ["", rule, `DROP RULE r ON ${table}`],
                ["", `ALTER TABLE ${table} DISABLE TRIGGER USER`, `ALTER TABLE ${table} ENABLE TRIGGER USER`]
              ] as const,
              Effect.fnUntraced(function* ([before, change, after]) {
                yield* Catalog.runScript(database, before)
                const known = yield* glimpse
                yield* Catalog.runScript(database, change)
                assert.notStrictEqual(yield* glimpse, known, change)
                yield* Catalog.runScript(database, after)
              })
            )
          })
        )
        // A role that may make functions could have it look anew for ever.
        const known = yield* glimpse
        const own = foreign("systemplane_entries", "systemplane_x", stranger.user).replace(/CREATE TRIGGER.*$/, "")
        yield* Catalog.runScript(database, own)
        assert.strictEqual(yield* glimpse, known)
        yield* Catalog.runScript(database, `ALTER FUNCTION systemplane_entries_notify() OWNER TO ${stranger.user}`)
        assert.notStrictEqual(yield* glimpse, known)
      }).pipe(Effect.scoped)
  )

  it.live("G13: whatever is changed in the catalogue, the digest is another one, or none, if a fact is", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      const role = yield* TestDatabase.makeRole
      yield* database.run(
        "CREATE COLLATION public.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
      )
      yield* Catalog.prepare(database)
      const look = Effect.map(database.run(PgCatalog.inFull), ([found]) => ({ digest: null, facts: null, ...found }))
      const before = yield* look
      assert.isString(before.digest)
      /** What is found after these statements, which are taken back. */
      const changedBy = Effect.fnUntraced(function* (statements: string) {
        let found = before
        const changed = Effect.andThen(Catalog.runScript(database, statements.replaceAll("@", role.user)), look)
        yield* Effect.exit(
          database.transaction(
            Effect.andThen(changed, (now) => {
              found = now
              return Effect.die("taken back")
            })
          )
        )
        return found
      })
      let differed = 0
      for (const statements of changes) {
        const { digest, facts } = yield* changedBy(statements)
        if (JSON.stringify(facts) === JSON.stringify(before.facts)) continue
        differed++
        assert.notStrictEqual(digest, before.digest, statements)
      }
      assert.isAbove(differed, 170)
      // What no fact follows from changes nothing, and databases of two owners have one digest.
      for (const statements of [
        "GRANT SELECT ON systemplane_entries TO @",
        "CREATE TABLE public.other (); CREATE SEQUENCE public.other_seq CACHE 9",
        foreign("systemplane_entries", "spy", "@"),
        ownedByRole
      ]) {
        assert.strictEqual((yield* changedBy(statements)).digest, before.digest, statements)
      }
    }).pipe(Effect.scoped)
  )
})
