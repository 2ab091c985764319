/**
 * Foreign writers: they write to a tenant's table without any plane, by plain SQL, in transactions, badly, with the
 * triggers disabled, as services of another make, and in bursts. What they commit is in the journal, so that it does
 * not matter whether a statement failed.
 */
import { Effect, Exit, Random } from "effect"
import * as Keys from "../Keys.ts"
import { oneOf, repeatedly, weighted } from "../workload/Client.ts"
import type { Database } from "./Database.ts"
import * as OddRows from "./OddRows.ts"
import * as OtherServices from "./OtherServices.ts"
import { changeInPlace, putBack, quietly, writeWithoutTriggers } from "./QuietWriters.ts"

/** How often each kind of write succeeded, and how often not. */
export type Tally = Map<string, { done: number; failed: number }>

/** Writes that go on until interrupted; on average one in `pause` milliseconds. */
export const run = (tenant: string, database: Database, pause: number, tally: Tally) => {
  let count = 0
  return repeatedly(
    pause,
    writeOnce(tenant, database, () => `foreign-${++count}`, tally)
  )
}

const counted = (tally: Tally, kind: string, write: Effect.Effect<unknown, unknown>) =>
  // Defects too are ignored: a transaction dies if it cannot be rolled back because its connection is gone.
  Effect.map(Effect.exit(write), (exit) => {
    const known = tally.get(kind) ?? { done: 0, failed: 0 }
    tally.set(kind, known)
    if (Exit.isSuccess(exit)) known.done++
    else known.failed++
  })

const writeOnce = (tenant: string, database: Database, stamp: () => string, tally: Tally) =>
  Effect.gen(function* () {
    const key = yield* oneOf([Keys.Plain, Keys.Rough, Keys.Guarded, Keys.Moody])
    const value = JSON.stringify({ tenant, stamp: stamp() })
    const [kind, how] = yield* weighted<readonly [string, Effect.Effect<unknown, unknown>]>([
      [20, ["upsert", write(database, key, value)]],
      [6, ["delete", erase(database, key)]],
      [12, ["pair", writePair(database, value)]],
      [3, ["delete a pair", erasePair(database)]],
      [5, ["odd row", OddRows.write(database)]],
      [3, ["sign", sign(database, key)]],
      [3, ["change in silence", quietly(database, changeInPlace(database, Keys.Rough, value))]],
      [1, ["write in silence", quietly(database, writeWithoutTriggers(database, Keys.Rough, value))]],
      [1, ["delete in silence", quietly(database, erase(database, Keys.Rough))]],
      [1, ["put back in silence", quietly(database, putBack(database, Keys.Rough, value))]],
      [5, ["DML alone", OtherServices.writeWithDmlAlone(database, key, value)]],
      [5, ["Go service", OtherServices.writeAsService(database, key, value)]],
      [3, ["COPY", OtherServices.copy(database, key, value)]],
      [3, ["MERGE", OtherServices.mergePair(database, value)]],
      [3, ["savepoint", OtherServices.writeWithSavepoint(database, tenant, stamp)]],
      [1, ["killed", OtherServices.writeAndDie(database, key, value)]],
      [1, ["TRUNCATE", database.run("TRUNCATE systemplane_entries")]],
      [2, ["burst", burst(database, tenant, stamp)]]
    ])
    yield* counted(tally, kind, how)
  })

const write = (database: Database, { key, namespace }: Keys.SoakKey, value: string) =>
  database.run(OtherServices.upsert, [namespace, key, value])

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

/** Another writer of the same value: the revision stays. */
const sign = (database: Database, { key, namespace }: Keys.SoakKey) =>
  database.run("UPDATE systemplane_entries SET updated_by = updated_by || '.' WHERE namespace = $1 AND key = $2", [
    namespace,
    key
  ])

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
