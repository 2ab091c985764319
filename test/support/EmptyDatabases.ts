/**
 * Databases that tests used and left as they found them, for the next ones. Creating a database costs the server ten
 * times what emptying it does.
 *
 * A database goes back only if nothing but schemas was added to it: settings, owners, privileges, publications and the
 * like are what the next test must not inherit. Then it is dropped.
 */
import { setTimeout } from "node:timers/promises"
import { Effect, type Scope } from "effect"
import type { Stranger } from "./TestDatabase.ts"

/** A server that is given is not ours to leave databases on. */
const keeps = (process.env.SYSTEMPLANE_TEST_POSTGRES_URL ?? "") === ""

const isPlain = `
  SELECT d.datconnlimit = -1 AND d.datacl IS NULL AND d.datallowconn AND NOT d.datistemplate
    AND d.datdba = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = session_user)
    AND NOT EXISTS (SELECT FROM pg_db_role_setting AS s WHERE s.setdatabase = d.oid)
    AND NOT EXISTS (SELECT FROM pg_prepared_xacts AS x WHERE x.database = d.datname)
    AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.database = d.datname)
    AND NOT EXISTS (SELECT FROM pg_subscription AS s WHERE s.subdbid = d.oid)
    AND NOT EXISTS (SELECT FROM pg_publication)
    AND NOT EXISTS (SELECT FROM pg_event_trigger)
    AND NOT EXISTS (SELECT FROM pg_default_acl)
    AND NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname <> 'plpgsql')
    AND NOT EXISTS (SELECT FROM pg_foreign_data_wrapper)
    AND NOT EXISTS (SELECT FROM pg_largeobject_metadata)
    AND NOT EXISTS (SELECT FROM pg_cast AS c WHERE c.oid >= 16384)
    AND NOT EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid >= 16384)
    AND (
      SELECT sum(hashtext(p.proacl::text)) FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace
    ) = (
      SELECT sum(hashtext(i.initprivs::text)) FROM pg_init_privs AS i WHERE i.classoid = 'pg_proc'::regclass
    )
    AND (
      SELECT sum(hashtext(c.relacl::text)) FROM pg_class AS c WHERE c.relnamespace = 'pg_catalog'::regnamespace
    ) = (
      SELECT sum(hashtext(i.initprivs::text)) FROM pg_init_privs AS i JOIN pg_class AS c ON c.oid = i.objoid
      WHERE i.classoid = 'pg_class'::regclass AND i.objsubid = 0 AND c.relnamespace = 'pg_catalog'::regnamespace
    ) AS plain
  FROM pg_database AS d WHERE d.datname = current_database()`

const dropSchemas = `
  DO $$
  DECLARE
    name text;
  BEGIN
    FOR name IN SELECT n.nspname FROM pg_namespace AS n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    LOOP
      EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public;
    IF current_setting('server_version_num')::int >= 150000 THEN
      ALTER SCHEMA public OWNER TO pg_database_owner;
      GRANT USAGE ON SCHEMA public TO PUBLIC;
    ELSE
      GRANT ALL ON SCHEMA public TO PUBLIC;
    END IF;
  END $$`

const empty = (inside: Effect.Effect<Stranger, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const database = yield* inside
    const [found] = yield* database.run(isPlain)
    if (found?.plain !== true) return false
    yield* database.run("SET client_min_messages = warning")
    yield* database.run(dropSchemas)
    return true
  }).pipe(
    Effect.scoped,
    Effect.catchDefect(() => Effect.succeed(false))
  )

/** Whether nothing uses it any more. A plane that a test did not close would come back to it. */
const isLeft = (server: Stranger, name: string) =>
  Effect.gen(function* () {
    for (let attempt = 0; attempt < 20; attempt++) {
      const sessions = yield* server.run("SELECT FROM pg_stat_activity WHERE datname = $1", [name])
      if (sessions.length === 0) return true
      // By the real clock, whichever the test has.
      yield* Effect.promise(() => setTimeout(10))
    }
    return false
  })

const make = () => {
  const names: Array<string> = []
  return {
    /** One that is empty; `undefined` if there is none. */
    take: (): Effect.Effect<string> | undefined => {
      const name = names.pop()
      return name === undefined ? undefined : Effect.succeed(name)
    },
    /** Empties it, by a connection to it; whether it did. */
    giveBack: (
      server: Stranger,
      name: string,
      inside: Effect.Effect<Stranger, never, Scope.Scope>
    ): Effect.Effect<boolean> =>
      !keeps
        ? Effect.succeed(false)
        : Effect.gen(function* () {
            const isEmpty = (yield* isLeft(server, name)) && (yield* empty(inside))
            if (isEmpty) names.push(name)
            return isEmpty
          })
  }
}

/** Of this worker. */
export const pool = make()
