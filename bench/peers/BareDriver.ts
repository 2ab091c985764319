/** The driver that the plane is built on, without the plane: a session that listens, and reads when it is told to. */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Option, Queue, type Redacted, Scope, Stream } from "effect"
import type { QueryEach } from "effect-systemplane"
import * as PgDigestDiff from "../../src/layers/postgres/diff/PgDigestDiff.ts"
import * as PgNamespaceScan from "../../src/layers/postgres/diff/PgNamespaceScan.ts"
import * as PgSchemaCheck from "../../src/layers/postgres/schema/PgSchemaCheck.ts"
import type { KeyName } from "../../src/schema/KeyName.ts"
import type { Seed } from "../../src/services/KeyRegistry.ts"
import type { BareListener } from "./BareListener.ts"

/** A session of the driver that listens, as long as the scope. */
export const session = Effect.fnUntraced(function* (url: Redacted.Redacted) {
  const scope = yield* Effect.scope
  const connection = yield* PgConnection.make({ url, applicationName: "bare driver" })
  const session = yield* connection.pin
  const notifications = yield* Scope.provide(session.listen("systemplane_changes"), scope)
  const query = (sql: string, params: ReadonlyArray<unknown> = []) =>
    Effect.map(session.query(sql, params), ({ rows }): ReadonlyArray<unknown> => rows)
  const queryEach: QueryEach = (sql, params, take) =>
    Stream.runForEachArray(session.stream(sql, params), (rows) => Effect.sync(() => take(rows)))
  const proved = (keys: ReadonlyArray<KeyName>) =>
    Effect.map(PgNamespaceScan.all(queryEach, keys, { aged: false }), Option.getOrThrow)
  return {
    notifications,
    query,
    queryEach,
    /**
     * Asks what the plane asks of a prepared database, one statement after the other: the whole schema with the
     * defaults, proved rows.
     */
    prepare: Effect.fnUntraced(function* (keys: ReadonlyArray<KeyName>, seeds: ReadonlyArray<Seed>) {
      yield* PgSchemaCheck.findsEverything(query, seeds)
      return yield* proved(keys)
    }),
    /** All rows as the plane reads them, with a fingerprint of each. */
    proved,
    /** All rows, as the driver returns them. */
    selectAll: Effect.map(session.query(selectAll, []), ({ rows }) => rows as ReadonlyArray<Record<string, unknown>>),
    /** Whether the schema is there: the least that any program would check. */
    check: session.query("SELECT to_regclass('systemplane_entries') IS NOT NULL AS present", [])
  }
})

export type Session = Effect.Success<ReturnType<typeof session>>

const selectAll = "SELECT namespace, key, value, revision, updated_at, updated_by FROM systemplane_entries"

/**
 * A listener of the driver that asks as the plane does, for what changed with the proof that nothing else did, and
 * stores the values: one fiber, and nothing that decodes, times, counts or reconnects.
 */
export const prove = Effect.fnUntraced(function* (url: Redacted.Redacted, keys: ReadonlyArray<KeyName>) {
  const { notifications, query, queryEach } = yield* session(url)
  const diff = PgDigestDiff.make(query, queryEach)
  const known: Array<bigint | undefined> = keys.map(() => undefined)
  const values = new Map<string, unknown>()
  let heard = 0
  const read = Effect.gen(function* () {
    for (const { row, slot } of yield* diff(keys, known.slice())) {
      known[slot] = row?.fingerprint
      values.set(`${keys[slot]!.namespace}/${keys[slot]!.key}`, row?.value)
    }
  })
  yield* read
  yield* Effect.forkScoped(
    Effect.gen(function* () {
      while (true) {
        heard += (yield* Queue.takeAll(notifications)).length
        yield* read
      }
    })
  )
  const listener: BareListener = { values, heard: () => heard }
  return listener
})
