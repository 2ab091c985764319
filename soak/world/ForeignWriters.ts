/**
 * Foreign writers: they write to a tenant's table without any plane, by plain SQL, in transactions, badly, with the
 * triggers disabled, and in bursts. What they commit is in the journal, so that it does not matter whether a statement
 * failed.
 */
import { Effect, Random } from "effect"
import * as Keys from "../Keys.ts"
import { badMark } from "../Keys.ts"
import { oneOf, repeatedly, weighted } from "../workload/Client.ts"
import type { Database } from "./Database.ts"

/** Writes that go on until interrupted; on average one in `pause` milliseconds. */
export const run = (tenant: string, database: Database, pause: number) => {
  let count = 0
  // Defects too are ignored: a transaction dies if it cannot be rolled back because its connection is gone.
  return repeatedly(pause, Effect.exit(writeOnce(tenant, database, () => `foreign-${++count}`)))
}

const upsert = `INSERT INTO systemplane_entries (namespace, key, value, updated_by) VALUES ($1, $2, $3::jsonb, 'foreign')
ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by`

const writeOnce = (tenant: string, database: Database, stamp: () => string) =>
  Effect.gen(function* () {
    const key = yield* oneOf([Keys.Plain, Keys.Rough, Keys.Guarded])
    const value = JSON.stringify({ tenant, stamp: stamp() })
    const how = yield* weighted([
      [20, write(database, key, value)],
      [6, erase(database, key)],
      [12, writePair(database, value)],
      [3, erasePair(database)],
      [5, writeBadly(database)],
      [3, sign(database, key)],
      [4, quietly(database, changeInPlace(database, Keys.Rough, value))],
      [2, quietly(database, writeWithoutTriggers(database, Keys.Rough, value))],
      [2, quietly(database, erase(database, Keys.Rough))],
      [1, quietly(database, putBack(database, Keys.Rough, value))],
      [1, database.run("TRUNCATE systemplane_entries")],
      [2, burst(database, tenant, stamp)]
    ])
    yield* how
  })

const write = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(upsert, [namespace, key, value])

const erase = (database: Database, { key, namespace }: Keys.SoakKey) =>
  database.run("DELETE FROM systemplane_entries WHERE namespace = $1 AND key = $2", [namespace, key])

/** Both keys in one transaction, now and then with a pause while it is open. */
const writePair = (database: Database, value: string) =>
  database.transaction(
    Effect.gen(function* () {
      yield* write(database, Keys.Left, value)
      if ((yield* Random.next) < 0.2) yield* Effect.sleep("50 millis")
      yield* write(database, Keys.Right, value)
    })
  )

const erasePair = (database: Database) =>
  database.run("DELETE FROM systemplane_entries WHERE namespace = $1", [Keys.Left.namespace])

/** A value that does not decode: its stamp is an object, with a text in it that must not appear anywhere. */
const writeBadly = (database: Database) =>
  write(database, Keys.Rough, JSON.stringify({ tenant: badMark, stamp: { [badMark]: badMark } }))

/** Another writer of the same value: the revision stays. */
const sign = (database: Database, { key, namespace }: Keys.SoakKey) =>
  database.run("UPDATE systemplane_entries SET updated_by = updated_by || '.' WHERE namespace = $1 AND key = $2", [
    namespace,
    key
  ])

/** With the triggers disabled: no revision is drawn, and no notification is sent. */
const quietly = <A, E>(database: Database, effect: Effect.Effect<A, E>) =>
  database.transaction(Effect.andThen(database.run("SET LOCAL session_replication_role = replica"), effect))

const changeInPlace = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(
    "UPDATE systemplane_entries SET value = $3::jsonb, updated_by = 'foreign' WHERE namespace = $1 AND key = $2",
    [namespace, key, value]
  )

const writeWithoutTriggers = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(
    `INSERT INTO systemplane_entries (namespace, key, value, revision, updated_by)
     VALUES ($1, $2, $3::jsonb, nextval('systemplane_revision_seq'), 'foreign')
     ON CONFLICT (namespace, key)
     DO UPDATE SET value = excluded.value, revision = excluded.revision, updated_by = excluded.updated_by`,
    [namespace, key, value]
  )

/** A revision from before, as in a restored backup. */
const putBack = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(
    `UPDATE systemplane_entries SET value = $3::jsonb, revision = greatest(revision - 3, 1), updated_by = 'foreign'
     WHERE namespace = $1 AND key = $2`,
    [namespace, key, value]
  )

/** Many writes of one key in one go. */
const burst = (database: Database, tenant: string, stamp: () => string) =>
  Effect.forEach(Array.from({ length: 20 }), () =>
    write(database, Keys.Plain, JSON.stringify({ tenant, stamp: stamp() }))
  )

/** One more value of every key. */
export const writeLast = (database: Database, tenant: string) =>
  database.transaction(
    Effect.forEach(Keys.all, (key) => write(database, key, JSON.stringify({ tenant, stamp: "last" })), {
      discard: true
    })
  )
