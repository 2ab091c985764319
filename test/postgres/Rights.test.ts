/**
 * What roles of every kind try on a prepared database, on the oldest server, where every role may create in `public`,
 * and on the newest.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, type Redacted, Stream } from "effect"
import { ChangeHistory, Config, ConfigKey, Ddl, PgConnector, SystemplaneLive, withTenant } from "effect-systemplane"
import * as PostgresServer from "../../dev/PostgresServer.ts"
import * as PgCursorRead from "../../src/layers/postgres/diff/PgCursorRead.ts"
import * as PgEntryRead from "../../src/layers/postgres/PgEntryRead.ts"
import * as PgKeyDeclarations from "../../src/layers/postgres/PgKeyDeclarations.ts"
import * as PgRows from "../../src/layers/postgres/PgRows.ts"
import * as PgCatalog from "../../src/layers/postgres/schema/PgCatalog.ts"
import * as PgCatalogDigest from "../../src/layers/postgres/schema/PgCatalogDigest.ts"
import { Burst, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as Catalog from "./Catalog.ts"

class Server extends Context.Service<Server, { readonly url: Redacted.Redacted }>()("test/Server") {}

const serverOf = (version: 14 | 18) =>
  Layer.effect(
    Server,
    Effect.map(Effect.orDie(PostgresServer.makeWith({}, version)), (server) => ({ url: server.url("postgres") }))
  )

/** A prepared database, whose owner is no superuser, and a role with these rights. */
const prepared = Effect.fnUntraced(function* (grants: ReadonlyArray<string>) {
  const { url } = yield* Server
  const database = yield* TestDatabase.makeOn(url)
  const role = { user: `${database.name}_role`, password: "password" }
  const owner = { user: `${database.name}_owner`, password: "password" }
  for (const { password, user } of [role, owner])
    yield* database.run(`CREATE ROLE ${user} LOGIN PASSWORD '${password}'`)
  yield* database.run(`ALTER DATABASE ${database.name} OWNER TO ${owner.user}`)
  yield* database.run(`GRANT CREATE ON SCHEMA public TO ${owner.user}`)
  const asOwner = yield* TestDatabase.connect(database.urlAs(owner))
  yield* asOwner.run(`ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO ${role.user}`)
  yield* Catalog.runScript(asOwner, Ddl.sql)
  for (const grant of grants) yield* asOwner.run(grant.replaceAll("ROLE", role.user))
  const stranger = yield* TestDatabase.connect(database.urlAs(role))
  return { database, owner: asOwner, ownerRole: owner.user, stranger, role: role.user }
})

const refused = (effect: Effect.Effect<unknown>, word: string) =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return assert.fail(`was allowed: ${word}`)
    assert.match(String(exit.cause), new RegExp(word, "i"))
  })

const dml = ["GRANT SELECT, INSERT, UPDATE, DELETE ON systemplane_entries TO ROLE"]

/** An operator that matches better than the server's, for each pair of types of which that has to convert one. */
const plantOperators = `DO $plant$
DECLARE
  types text[] := '{oid,regclass,regrole,regtype,text,name,varchar,"\\"char\\"",smallint,integer,bigint,boolean,jsonb,xid8,timestamptz,float8,numeric,uuid,text[],name[],uuid[]}';
  operators text[] := '{=,<>,<,>,<=,>=,||,&,-,+,*,/}';
  pair record;
BEGIN
  PERFORM set_config('search_path', 'pg_catalog', true);
  FOR pair IN
    SELECT l, r, o, row_number() OVER () AS number FROM unnest(types) AS l, unnest(types) AS r, unnest(operators) AS o
    WHERE NOT EXISTS (SELECT FROM pg_operator AS k WHERE k.oprname = o AND k.oprleft = l::regtype AND k.oprright = r::regtype)
  LOOP
    EXECUTE format(
      'CREATE FUNCTION public.spy_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION %L; END $$', pair.number,
      pair.l, pair.r, CASE WHEN pair.o = '||' THEN 'text' WHEN pair.o ~ '[-&+*/]' THEN 'bigint' ELSE 'boolean' END,
      format('taken over: %s %s %s', pair.l, pair.o, pair.r)
    );
    EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.spy_%s, LEFTARG = %s, RIGHTARG = %s)',
      pair.o, pair.number, pair.l, pair.r);
  END LOOP;
END $plant$`

/**
 * A function that matches better than the server's, for each of one or two arguments that takes any type, or a type to
 * which that of our argument is converted.
 */
const plantFunctions = `DO $plant$
DECLARE
  planted record;
BEGIN
  PERFORM set_config('search_path', 'pg_catalog', true);
  FOR planted IN
    WITH near (type, others) AS (VALUES
      ('text', '{name,varchar}'), ('name', '{text}'), ('int8', '{integer}'), ('int4', '{smallint}'), ('float8', '{integer,bigint}'),
      ('oid', '{regclass}'), ('regclass', '{oid}'), ('any', '{text,bigint,boolean,oid}'), ('anyelement', '{text,bigint,boolean,json}'),
      ('anynonarray', '{text,bigint,oid,uuid}'), ('anyarray', '{text[],bigint[]}'), ('anycompatiblearray', '{text[],uuid[]}'),
      ('anycompatible', '{text,uuid}')
    ), functions AS (
      SELECT DISTINCT p.proname AS name, p.proargtypes[0]::regtype::text AS one, p.proargtypes[1]::regtype::text AS two,
        f.typname AS first, s.typname AS second
      FROM pg_proc AS p JOIN pg_type AS f ON f.oid = p.proargtypes[0] LEFT JOIN pg_type AS s ON s.oid = p.proargtypes[1]
      WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.pronargs BETWEEN 1 AND 2
    )
    SELECT DISTINCT f.name, concat_ws(', ', a.type, b.type) AS types
    FROM functions AS f,
      LATERAL (SELECT f.one UNION SELECT unnest(n.others::text[]) FROM near AS n WHERE n.type = f.first) AS a (type),
      LATERAL (SELECT f.two UNION SELECT unnest(n.others::text[]) FROM near AS n WHERE n.type = f.second) AS b (type)
    WHERE concat(a.type, b.type) !~ 'internal|cstring|trigger|unknown|record|handler|any'
      AND to_regprocedure(format('pg_catalog.%I(%s)', f.name, concat_ws(', ', a.type, b.type))) IS NULL
  LOOP
    EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION %L; END $$',
      planted.name, planted.types, format('taken over: %s(%s)', planted.name, planted.types));
  END LOOP;
END $plant$`

for (const version of [14, 18] as const) {
  describe(`G15: on PostgreSQL ${version}`, () => {
    layer(serverOf(version), { timeout: "60 seconds", excludeTestServices: true })((it) => {
      it.effect(
        "no function of ours with its owner's rights is executable by another role, default privileges or not",
        () =>
          Effect.gen(function* () {
            const { database, role } = yield* prepared([])
            const functions = yield* database.run(
              `SELECT p.proname AS name, p.proconfig AS config, has_function_privilege($1, p.oid, 'EXECUTE') AS executable
             FROM pg_proc AS p WHERE p.proname LIKE 'systemplane%' ORDER BY 1`,
              [role]
            )
            assert.isAbove(functions.length, 20)
            assert.deepStrictEqual(
              functions.filter(({ executable }) => executable).map(({ name }) => name),
              ["systemplane_revert", "systemplane_set"]
            )
            for (const { config } of functions) assert.deepStrictEqual(config, ["search_path=pg_catalog, pg_temp"])
          })
      )

      it.effect("a function or a table that was there under our names before gives its maker nothing", () =>
        Effect.gen(function* () {
          const { url } = yield* Server
          const theirs = (rights: string, first = "") => `RETURNS trigger LANGUAGE plpgsql ${rights}
             AS $f$-- effect-systemplane 999
BEGIN ${first} IF current_user <> 'MAKER' THEN EXECUTE 'ALTER ROLE MAKER SUPERUSER'; END IF; RETURN NEW; END$f$`
          const planted = [
            [
              `CREATE FUNCTION public.systemplane_entries_draw_revision() ${theirs("SECURITY DEFINER", "NEW.revision := 1;")}`
            ],
            [
              `CREATE TABLE public.systemplane_history (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, namespace text, key text,
                operation text, revision bigint, previous_value jsonb, value jsonb, changed_at timestamptz, changed_by text)`,
              `CREATE FUNCTION public.theirs() ${theirs("")}`,
              "CREATE TRIGGER theirs BEFORE INSERT ON public.systemplane_history FOR EACH ROW EXECUTE FUNCTION public.theirs()"
            ]
          ]
          for (const statements of planted) {
            const database = yield* TestDatabase.makeOn(url)
            const maker = { user: `${database.name}_maker`, password: "password" }
            yield* database.run(`CREATE ROLE ${maker.user} LOGIN PASSWORD '${maker.password}'`)
            yield* database.run(`GRANT CREATE ON SCHEMA public TO ${maker.user}`)
            yield* Effect.scoped(
              Effect.flatMap(TestDatabase.connect(database.urlAs(maker)), ({ run }) =>
                Effect.forEach(statements, (sql) => run(sql.replaceAll("MAKER", maker.user)), { discard: true })
              )
            )
            yield* Effect.exit(database.run(Ddl.sql))
            yield* Effect.exit(database.write("rate", "limit", 1))
            const [role] = yield* database.run("SELECT rolsuper FROM pg_roles WHERE rolname = $1", [maker.user])
            assert.isFalse(role.rolsuper)
          }
        })
      )

      it.effect("no role puts a trigger on the history, though default privileges grant everything", () =>
        Effect.gen(function* () {
          const { url } = yield* Server
          const database = yield* TestDatabase.makeOn(url)
          const app = { user: `${database.name}_app`, password: "password" }
          yield* database.run(`CREATE ROLE ${app.user} LOGIN PASSWORD '${app.password}'`)
          yield* database.run(`ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO ${app.user}`)
          yield* database.run(Ddl.sql)
          const { run } = yield* TestDatabase.connect(database.urlAs(app))
          for (const table of ["systemplane_history", "systemplane_keys", "systemplane_processes"]) {
            yield* refused(
              run(
                `CREATE TRIGGER theirs BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`
              ),
              "permission denied"
            )
          }
          yield* run("INSERT INTO systemplane_entries (namespace, key, value) VALUES ('rate', 'limit', '1')")
          yield* refused(
            run(`INSERT INTO systemplane_history (namespace, key, operation, revision, changed_at, changed_by, reason)
                 SELECT 'rate', 'limit', 'update', 99, now(), 'boss', set_config('systemplane.recording', 'on', true)`),
            "only the triggers"
          )
        })
      )

      it.effect("a role that may only connect cannot put a function of ours on a table of its own", () =>
        Effect.gen(function* () {
          const { database, stranger } = yield* prepared([])
          yield* stranger.run(
            "CREATE TEMP TABLE mine (namespace text, key text, value jsonb, revision bigint, updated_at timestamptz, updated_by text)"
          )
          const functions = yield* database.run(
            "SELECT proname AS name FROM pg_proc WHERE proname LIKE 'systemplane%' AND prorettype = 'trigger'::regtype"
          )
          for (const { name } of functions) {
            yield* refused(
              stranger.run(`CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION public.${name}()`),
              "permission denied"
            )
          }
        })
      )

      it.effect("a trigger that was put on another table before runs nothing as the owner", () =>
        Effect.gen(function* () {
          const { database, owner, role, stranger } = yield* prepared([])
          yield* database.run(`GRANT CREATE ON SCHEMA public TO ${role}`)
          yield* owner.run(`GRANT EXECUTE ON FUNCTION systemplane_entries_draw_revision() TO ${role}`)
          yield* stranger.run(
            "CREATE FUNCTION public.spy(bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF current_user <> session_user THEN RAISE EXCEPTION 'ran as %', current_user; END IF; RETURN true; END $$"
          )
          yield* stranger.run("CREATE DOMAIN public.spied AS bigint CHECK (public.spy(VALUE))")
          yield* stranger.run(
            "CREATE TEMP TABLE mine (namespace text, key text, value jsonb, revision public.spied, updated_at timestamptz, updated_by text)"
          )
          yield* stranger.run(
            "CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION public.systemplane_entries_draw_revision()"
          )
          yield* refused(stranger.run("INSERT INTO mine (namespace, key, value) VALUES ('a', 'b', '1')"), "alone")
          yield* Catalog.runScript(owner, Ddl.sql)
          const [after] = yield* database.run(
            "SELECT has_function_privilege($1, 'systemplane_entries_draw_revision()', 'EXECUTE') AS executable",
            [role]
          )
          assert.isFalse(after.executable)
        })
      )

      it.effect("functions and operators in public take over no statement of ours", () =>
        Effect.gen(function* () {
          const { database, owner, role, stranger } = yield* prepared(dml)
          yield* database.run(`GRANT CREATE ON SCHEMA public TO ${role}`)
          const body = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'taken over'; END $$"
          for (const signature of [
            "json_build_object(text, text, text, text, text, text, text, bigint) RETURNS json",
            "nextval(text) RETURNS bigint",
            "now() RETURNS timestamptz",
            "pg_notify(text, json) RETURNS void",
            "left(text, bigint) RETURNS text",
            "joined(name, text) RETURNS text",
            "equal(name, text) RETURNS boolean"
          ]) {
            yield* stranger.run(`CREATE FUNCTION public.${signature} ${body}`)
          }
          yield* stranger.run("CREATE OPERATOR public.|| (FUNCTION = public.joined, LEFTARG = name, RIGHTARG = text)")
          yield* stranger.run("CREATE OPERATOR public.= (FUNCTION = public.equal, LEFTARG = name, RIGHTARG = text)")
          yield* stranger.run("INSERT INTO systemplane_entries (namespace, key, value) VALUES ('a', 'b', '1')")
          yield* owner.run("SELECT systemplane_set('a', 'b', '2', 'why')")
          // What prepares a database is taken over by none of them either.
          yield* Catalog.runScript(database, Ddl.sql)
          yield* owner.run("DROP FUNCTION systemplane_entries_notify() CASCADE")
          yield* Catalog.runScript(database, Ddl.sql)
          yield* stranger.run("UPDATE systemplane_entries SET value = '3'")
          // Nor what a process asks: these match the arguments better than the functions of any type that are meant.
          for (const signature of [
            "hash_record_extended(record, integer) RETURNS bigint",
            "pg_column_size(jsonb) RETURNS integer",
            "unnest(text[]) RETURNS SETOF text",
            "pg_identify_object(regclass, oid, integer) RETURNS record",
            "concat_ws(text, boolean, boolean, bigint, bigint, bigint, bigint, bigint) RETURNS text",
            "joined(text, integer) RETURNS text",
            "both(smallint, integer) RETURNS smallint"
          ]) {
            yield* stranger.run(`CREATE FUNCTION public.${signature} ${body}`)
          }
          yield* stranger.run(
            "CREATE OPERATOR public.|| (FUNCTION = public.joined, LEFTARG = text, RIGHTARG = integer)"
          )
          yield* stranger.run(
            "CREATE OPERATOR public.& (FUNCTION = public.both, LEFTARG = smallint, RIGHTARG = integer)"
          )
          yield* owner.run(PgCatalogDigest.glimpse)
          yield* owner.run(PgCatalogDigest.glance("true"))
          yield* owner.run(PgCatalog.inFull)
          assert.lengthOf(yield* owner.run(PgEntryRead.selectRow, ["a", "b"]), 1)
          assert.lengthOf(
            yield* owner.run(PgCursorRead.selectWholeAtOnce, [
              "{a}",
              2,
              PgRows.pathsOf([{ namespace: "a", key: "b" }])
            ]),
            2
          )
        })
      )

      it.effect("functions and operators in public, for whatever types, take over no statement of ours", () =>
        Effect.gen(function* () {
          const { database, owner, ownerRole, role, stranger } = yield* prepared(dml)
          yield* database.run(`GRANT CREATE ON SCHEMA public TO ${role}`)
          const before = yield* owner.run(PgCatalog.inFull)
          yield* stranger.run(plantOperators)
          yield* stranger.run(plantFunctions)
          assert.isString(before[0].digest)
          assert.deepStrictEqual(yield* owner.run(PgCatalog.inFull), before)
          assert.lengthOf(yield* owner.run(PgCatalogDigest.glance("true")), 1)
          assert.lengthOf(yield* owner.run(PgKeyDeclarations.selectDeclared, ["shop@1"]), 1)
          const url = database.urlAs({ user: ownerRole, password: "password" })
          const plane = (options: { readonly history?: false }) =>
            SystemplaneLive({ keys: [Limit, Burst], tenants: ["acme"], boot: "require", ...options }).pipe(
              Layer.provide(PgConnector.layerRecord({ acme: { url } })),
              Layer.provide(TestPlane.silent)
            )
          yield* Effect.gen(function* () {
            const { revision } = yield* Config.set(Limit, 5, { actor: "ada", reason: "more" })
            yield* Config.set(Limit, 6, { actor: "ada", ifRevision: revision })
            yield* Config.remove(Burst, { actor: "ada", changeId: crypto.randomUUID() })
            const [reset] = yield* Stream.runCollect(Stream.take(ChangeHistory.since(), 1))
            yield* Config.setAll([ConfigKey.value(Limit, 7), ConfigKey.value(Burst, 8)], { actor: "ada" })
            assert.lengthOf(yield* Stream.runCollect(Stream.take(ChangeHistory.since(reset!.cursor), 1)), 1)
            const { records } = yield* ChangeHistory.ofKey(Limit)
            yield* ChangeHistory.revert(records[0]!.changeId!, { actor: "bob" })
            yield* ChangeHistory.rollback(Limit, { to: revision, actor: "bob" })
            assert.isNotEmpty((yield* ChangeHistory.list({ actor: "bob", from: 0 })).changes)
            assert.isNotEmpty(yield* ChangeHistory.at(Date.now() + 60_000))
            assert.strictEqual(yield* ChangeHistory.verify, 0)
            yield* ChangeHistory.purge({ keepDays: 1 })
            assert.strictEqual(yield* Config.get(Limit), 5)
          }).pipe(withTenant("acme"), Effect.provide(plane({})))
          yield* Effect.gen(function* () {
            yield* database.write(Limit.namespace, Limit.key, 9)
            yield* TestDatabase.eventually(
              "the change is seen by digests",
              Effect.map(Config.get(Limit), (limit) => limit === 9)
            )
          }).pipe(withTenant("acme"), Effect.provide(plane({ history: false })))
          yield* Catalog.runScript(database, Ddl.sql)
        }).pipe(Effect.scoped)
      )

      it.effect("G16: a role that may insert into the history forges no record, by no setting and no trigger", () =>
        Effect.gen(function* () {
          const { owner, stranger } = yield* prepared([...dml, "GRANT SELECT, INSERT ON systemplane_history TO ROLE"])
          const row = (at: string, by = "ada") =>
            `INSERT INTO systemplane_history (namespace, key, operation, revision, value, changed_at, changed_by, transaction_id, change_id, origin)
             VALUES ('a', 'b', 'update', 7, '666', ${at}, '${by}', pg_current_xact_id(), gen_random_uuid(), 'postgres@psql')`
          yield* stranger.run(row("clock_timestamp()"))
          yield* stranger.run(row("'2020-01-01'"))
          yield* refused(
            stranger.transaction(
              Effect.andThen(stranger.run("SET LOCAL systemplane.recording = 'on'"), stranger.run(row("now()")))
            ),
            "only the triggers"
          )
          assert.deepStrictEqual(yield* owner.run("SELECT FROM systemplane_history"), [])

          yield* stranger.transaction(
            Effect.andThen(
              stranger.run("INSERT INTO systemplane_entries (namespace, key, value) VALUES ('a', 'b', '1')"),
              stranger.run(row("clock_timestamp()", "forged"))
            )
          )
          const records = yield* owner.run(
            "SELECT operation, value, changed_by <> 'forged' AS own FROM systemplane_history"
          )
          assert.deepStrictEqual(records, [{ operation: "create", value: 1, own: true }])
        })
      )

      it.effect("G16: a role restores records if it acts as the owner, whichever role logged in, and as no other", () =>
        Effect.gen(function* () {
          const { database, owner, ownerRole, role, stranger } = yield* prepared([
            ...dml,
            "GRANT SELECT, INSERT ON systemplane_history TO ROLE"
          ])
          yield* database.run(`ALTER ROLE ${role} NOINHERIT`)
          yield* database.run(`GRANT ${ownerRole} TO ${role}`)
          const restored = (session: TestDatabase.Stranger, as: string, key: string) =>
            session.transaction(
              Effect.andThen(
                session.run(`SET LOCAL ROLE ${as}`),
                session.run(
                  `INSERT INTO systemplane_history (namespace, key, operation, revision, value, changed_at, changed_by)
                   VALUES ('a', '${key}', 'create', 7, '1', '2020-01-01', 'ada')`
                )
              )
            )
          yield* restored(stranger, ownerRole, "owner")
          yield* restored(stranger, role, "member")
          yield* restored(database, role, "superuser as member")
          assert.deepStrictEqual(yield* owner.run("SELECT key FROM systemplane_history"), [{ key: "owner" }])
        })
      )

      it.effect("G16: neither the owner nor a role with all rights changes or removes a record", () =>
        Effect.gen(function* () {
          const { owner, stranger } = yield* prepared([...dml, "GRANT ALL ON systemplane_history TO ROLE"])
          yield* owner.run("SELECT systemplane_set('a', 'b', '1', 'why')")
          for (const session of [owner, stranger]) {
            yield* refused(session.run("UPDATE systemplane_history SET changed_by = 'other'"), "append-only")
            yield* refused(session.run("DELETE FROM systemplane_history"), "append-only")
            yield* refused(session.run("TRUNCATE systemplane_history"), "append-only")
          }
          yield* refused(
            stranger.transaction(
              Effect.andThen(
                stranger.run("SET LOCAL systemplane.recording = 'on'"),
                stranger.run("DELETE FROM systemplane_history")
              )
            ),
            "append-only"
          )
          assert.lengthOf(yield* owner.run("SELECT FROM systemplane_history"), 1)
        })
      )

      it.effect("the grant of the purge gives the purge alone, which takes no record in force and none of today", () =>
        Effect.gen(function* () {
          const { database, owner, role, stranger } = yield* prepared([])
          yield* refused(stranger.run("SELECT systemplane_history_purge(0, 0)"), "permission denied")
          yield* owner.run(Ddl.grants(role, { purge: true }))
          yield* Catalog.runScript(owner, Ddl.sql)
          for (const n of [1, 2, 3]) yield* owner.run(`SELECT systemplane_set('a', 'b', '${n}')`)
          assert.deepStrictEqual(yield* stranger.run("SELECT systemplane_history_purge(0, 0)::int AS n"), [{ n: 0 }])
          yield* Catalog.withoutTriggers(
            database,
            database.run("UPDATE systemplane_history SET changed_at = now() - interval '40 days'")
          )
          assert.deepStrictEqual(yield* stranger.run("SELECT systemplane_history_purge(30, 0)::int AS n"), [{ n: 2 }])
          assert.deepStrictEqual(yield* owner.run("SELECT value FROM systemplane_history"), [{ value: 3 }])
          yield* refused(stranger.run("DELETE FROM systemplane_history"), "permission denied")
          yield* refused(stranger.run("SELECT systemplane_history_purge(-1, NULL)"), "how many")
        })
      )

      it.effect("a secret stays one: its values are redacted, its last declaration stays, and no default is kept", () =>
        Effect.gen(function* () {
          const { owner, stranger } = yield* prepared([
            ...dml,
            "GRANT SELECT, INSERT, UPDATE, DELETE ON systemplane_keys TO ROLE"
          ])
          yield* stranger.run("INSERT INTO systemplane_entries (namespace, key, value) VALUES ('s', 'k', '\"canary\"')")
          const declare = (by: string, secret: boolean) =>
            `INSERT INTO systemplane_keys (namespace, key, declared_by, secret, default_value) VALUES ('s', 'k', '${by}', ${secret}, '"canary"')`
          yield* stranger.run(declare("old", false))
          yield* stranger.run(declare("new", true))
          yield* stranger.run("UPDATE systemplane_entries SET value = '\"canary 2\"'")
          yield* stranger.run("UPDATE systemplane_keys SET secret = false, examples = '[\"canary\"]'")
          const kept = yield* owner.run("SELECT row_to_json(h)::text AS row FROM systemplane_history AS h")
          const declared = yield* owner.run("SELECT row_to_json(k)::text AS row FROM systemplane_keys AS k")
          assert.notInclude(JSON.stringify([kept, declared]), "canary")
          assert.lengthOf(kept, 2)
          yield* stranger.run("DELETE FROM systemplane_keys WHERE declared_by = 'old'")
          yield* refused(stranger.run("DELETE FROM systemplane_keys"), "is a secret")
        })
      )
    })
  })
}
