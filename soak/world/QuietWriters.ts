/**
 * Writers whom no trigger of the plane sees, as a restore with disabled triggers or a careless administrator. Nothing
 * announces what they write, and nothing records it: a verification has to find it.
 */
import { Effect } from "effect"
import type * as Keys from "../Keys.ts"
import type { Database } from "./Database.ts"

/** Those that fire in every mode of a session. */
const always = [
  "systemplane_notify_trigger",
  "systemplane_notify_update_trigger",
  "systemplane_notify_truncate_trigger"
]

/** In one transaction, and with a short wait for the lock that it takes to silence a trigger. */
export const quietly = <A, E>(database: Database, effect: Effect.Effect<A, E>) =>
  database.transaction(
    Effect.gen(function* () {
      yield* database.run("SET LOCAL session_replication_role = replica")
      yield* database.run("SET LOCAL lock_timeout = '1s'")
      for (const name of always) yield* database.run(`ALTER TABLE systemplane_entries DISABLE TRIGGER ${name}`)
      const result = yield* effect
      for (const name of always) yield* database.run(`ALTER TABLE systemplane_entries ENABLE ALWAYS TRIGGER ${name}`)
      return result
    })
  )

export const changeInPlace = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(
    "UPDATE systemplane_entries SET value = $3::jsonb, updated_by = 'foreign' WHERE namespace = $1 AND key = $2",
    [namespace, key, value]
  )

export const writeWithoutTriggers = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(
    `INSERT INTO systemplane_entries (namespace, key, value, revision, updated_by)
     VALUES ($1, $2, $3::jsonb, nextval('systemplane_revision_seq'), 'foreign')
     ON CONFLICT (namespace, key)
     DO UPDATE SET value = excluded.value, revision = excluded.revision, updated_by = excluded.updated_by`,
    [namespace, key, value]
  )

/** A revision from before, as in a restored backup. */
export const putBack = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(
    `UPDATE systemplane_entries SET value = $3::jsonb, revision = greatest(revision - 3, 1), updated_by = 'foreign'
     WHERE namespace = $1 AND key = $2`,
    [namespace, key, value]
  )
