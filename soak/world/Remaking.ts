/**
 * Tenants whose tables or whole database are dropped and made anew, again and again. A plane has to come back to each
 * by itself. They have no journal, since it goes with the database; at the end each plane must show the last value.
 */
import { Effect, Random, type Redacted } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import * as Keys from "../Keys.ts"
import { oneOf, repeatedly, weighted } from "../workload/Client.ts"
import { connect, type Database } from "./Database.ts"
import { upsert } from "./OtherServices.ts"

export interface Remade {
  readonly name: string
  readonly url: Redacted.Redacted
  /** Makes the tables, and grants the planes their rights. */
  readonly prepare: (database: Database) => Effect.Effect<void, SqlError>
}

export const lastStamp = "remade-last"

/** Average pause between two times, in milliseconds. */
const pause = 4000

/** Makes the database. */
export const make = (admin: Database, { name, prepare, url }: Remade) =>
  Effect.andThen(admin.run(`CREATE DATABASE "${name}"`), Effect.scoped(Effect.flatMap(connect(url), prepare)))

const dropTables = ({ prepare, url }: Remade) =>
  Effect.gen(function* () {
    const database = yield* connect(url)
    yield* database.run("DROP TABLE systemplane_entries, systemplane_history, systemplane_keys CASCADE")
    yield* Effect.sleep(yield* Random.nextBetween(0, 3000))
    yield* prepare(database)
  }).pipe(Effect.scoped, Effect.uninterruptible)

const dropDatabase = (admin: Database, remade: Remade) =>
  Effect.gen(function* () {
    yield* admin.run(`DROP DATABASE IF EXISTS "${remade.name}" WITH (FORCE)`)
    yield* Effect.sleep(yield* Random.nextBetween(0, 3000))
    yield* make(admin, remade)
  }).pipe(Effect.uninterruptible)

const write = ({ name, url }: Remade, stamp: string) =>
  Effect.scoped(
    Effect.flatMap(connect(url), ({ run }) =>
      run(upsert, [Keys.Plain.namespace, Keys.Plain.key, JSON.stringify({ tenant: name, stamp })])
    )
  )

/** Goes on until interrupted. */
export const run = (admin: Database, all: ReadonlyArray<Remade>, done: (what: string) => void) =>
  repeatedly(
    pause,
    Effect.gen(function* () {
      const remade = yield* oneOf(all)
      const [what, act] = yield* weighted<readonly [string, Effect.Effect<unknown, unknown>]>([
        [2, ["tables re-made", dropTables(remade)]],
        [2, ["databases re-made", dropDatabase(admin, remade)]],
        [3, ["written", write(remade, "between")]]
      ])
      // The server may be down for any of it; a database that is gone then is made before the end.
      yield* Effect.exit(Effect.tap(act, () => Effect.sync(() => done(what))))
    })
  )

/** Makes each anew and writes the last value, once nothing disturbs it. */
export const settle = (admin: Database, all: ReadonlyArray<Remade>) =>
  Effect.forEach(all, (remade) => Effect.andThen(dropDatabase(admin, remade), write(remade, lastStamp)), {
    discard: true
  })
