/**
 * The entries of tenants in PostgreSQL.
 *
 * A write is one statement, or one transaction: what failed before it was committed did nothing. A transaction that the server
 * took back because of others (a deadlock, or an isolation level above `READ COMMITTED`) is run again.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { SqlError } from "effect/sql/SqlError"
import type { EntryRow } from "../../schema/EntryRow.ts"
import { EntryStoreError, NotCommitted, RevisionConflict } from "../../schema/EntryStoreError.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import { EntryStore, type EntryWrite } from "../../services/EntryStore.ts"
import { PgDatabases } from "./PgDatabases.ts"
import * as PgDiff from "./PgDiff.ts"
import * as PgFailure from "./PgFailure.ts"
import * as PgStatements from "./PgStatements.ts"

/** A deadlock takes a second to be found (`deadlock_timeout`): two or three tries, and a write still ends within its time. */
const runAgain = <A>(transaction: Effect.Effect<A, EntryStoreError>): Effect.Effect<A, EntryStoreError> =>
  Effect.retry(transaction, {
    while: PgFailure.isRolledBackByOthers,
    schedule: Schedule.exponential("10 millis").pipe(
      Schedule.jittered,
      Schedule.upTo({ times: 5, duration: "2 seconds" })
    )
  })

/**
 * How often a guarded write is made anew because the row it missed was as expected when it was looked at: another writer came
 * and went between the two statements.
 */
const attempts = 3

const make = Effect.map(PgDatabases, (databases) =>
  EntryStore.of({
    read: (tenant, key) => databases.run(tenant, (query) => PgStatements.read(query, key)),
    diff: (tenant) => (keys, known) => databases.run(tenant, (query) => PgDiff.diff(query, keys, known)),
    put: (tenant, write, actor) => runAgain(databases.run(tenant, (query) => put(tenant, query, write, actor))),
    // In the order of the keys, so that two transactions wait for each other's rows and never for each other in a circle.
    putAll: (tenant, writes, actor) => {
      const ordered = [...writes].sort(byName)
      const transaction = Effect.suspend(() => {
        let committing = false
        return databases
          .runInTransaction(tenant, (query) =>
            Effect.tap(
              Effect.forEach(ordered, (write) => put(tenant, query, write, actor)),
              () =>
                Effect.sync(() => {
                  committing = true
                })
            )
          )
          .pipe(Effect.mapError((error) => (committing ? error : notCommitted(error))))
      })
      return Effect.map(runAgain(transaction), (rows) => writes.map((write) => rows[ordered.indexOf(write)]!))
    },
    remove: (tenant, key, ifRevision) =>
      runAgain(databases.run(tenant, (query) => remove(tenant, query, key, ifRevision))),
    release: databases.release
  })
)

// A layer of its own for each plane: one value would be built once, and two planes in one program would share it.
export const layer = () => Layer.effect(EntryStore, make)

const put = (
  tenant: TenantId,
  query: Query,
  write: EntryWrite,
  actor: string,
  attempt = 1
): Effect.Effect<EntryRow, SqlError | EntryStoreError> =>
  Effect.flatMap(
    PgStatements.put(query, write, actor),
    Option.match({
      onSome: Effect.succeed,
      onNone: () =>
        Effect.flatMap(revisionOf(tenant, query, write), (actual) =>
          actual === write.ifRevision && attempt < attempts
            ? put(tenant, query, write, actor, attempt + 1)
            : mismatch(tenant, write, write.ifRevision ?? 0, actual)
        )
    })
  )

const remove = (
  tenant: TenantId,
  query: Query,
  key: KeyName,
  ifRevision: number | undefined,
  attempt = 1
): Effect.Effect<Option.Option<number>, SqlError | EntryStoreError> =>
  Effect.flatMap(PgStatements.remove(query, key, ifRevision), (deleted) =>
    ifRevision === undefined || Option.isSome(deleted)
      ? Effect.succeed(deleted)
      : Effect.flatMap(revisionOf(tenant, query, key), (actual) => {
          if (actual !== ifRevision) return mismatch(tenant, key, ifRevision, actual)
          if (actual === 0) return Effect.succeed(deleted)
          return attempt < attempts
            ? remove(tenant, query, key, ifRevision, attempt + 1)
            : mismatch(tenant, key, ifRevision, actual)
        })
  )

/** The revision of a row that a guarded write missed. Whatever becomes of this question: the write did nothing. */
const revisionOf = (
  tenant: TenantId,
  query: Query,
  { key, namespace }: KeyName
): Effect.Effect<number, EntryStoreError> =>
  PgStatements.read(query, { namespace, key }).pipe(
    Effect.map(Option.match({ onNone: () => 0, onSome: ({ revision }) => revision })),
    Effect.mapError((error) => notCommitted(EntryStoreError.of(tenant, PgFailure.statementFailure(error))))
  )

const notCommitted = (error: EntryStoreError): EntryStoreError =>
  error.reason._tag === "Unanswered"
    ? EntryStoreError.of(error.tenant, new NotCommitted({ ...codeOf(error.reason) }), error.address)
    : error

const codeOf = ({ code }: { readonly code?: string }) => (code === undefined ? {} : { code })

const mismatch = (
  tenant: TenantId,
  { key, namespace }: KeyName,
  expected: number,
  actual: number
): Effect.Effect<never, EntryStoreError> =>
  Effect.fail(EntryStoreError.of(tenant, new RevisionConflict({ namespace, key, expected, actual })))

const byName = (a: KeyName, b: KeyName) => compare(a.namespace, b.namespace) || compare(a.key, b.key)

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
