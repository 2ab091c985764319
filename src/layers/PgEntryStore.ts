/**
 * The entries of tenants in PostgreSQL.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { EntryRow } from "../schema/EntryRow.ts"
import { EntryStoreError, RevisionMismatch } from "../schema/EntryStoreError.ts"
import type { TenantId } from "../schema/TenantId.ts"
import type { Query } from "../services/Connector.ts"
import { EntryStore, type EntryWrite, type KeyName } from "../services/EntryStore.ts"
import * as PgStatements from "./PgStatements.ts"
import { TenantDatabases } from "./TenantDatabases.ts"

const make = Effect.map(TenantDatabases, (databases) =>
  EntryStore.of({
    read: (tenant, key) => databases.run(tenant, (query) => PgStatements.read(query, key)),
    differences: (tenant) => (keys, known) =>
      databases.run(tenant, (query) => PgStatements.differences(query, keys, known)),
    put: (tenant, write, actor) => databases.run(tenant, (query) => put(tenant, query, write, actor)),
    // In the order of the keys, so that two transactions wait for each other's rows and never for each other in a circle.
    putAll: (tenant, writes, actor) => {
      const ordered = [...writes].sort(byName)
      return databases
        .runInTransaction(tenant, (query) => Effect.forEach(ordered, (write) => put(tenant, query, write, actor)))
        .pipe(Effect.map((rows) => writes.map((write) => rows[ordered.indexOf(write)]!)))
    },
    remove: (tenant, key, ifRevision) =>
      databases.run(tenant, (query) =>
        Effect.tap(PgStatements.remove(query, key, ifRevision), (deleted) =>
          ifRevision === undefined || Option.isSome(deleted)
            ? Effect.void
            : Effect.flatMap(revisionOf(query, key), (actual) =>
                ifRevision === 0 && actual === 0 ? Effect.void : mismatch(tenant, key, ifRevision, actual)
              )
        )
      ),
    release: databases.release
  })
)

// A layer of its own for each plane: one value would be built once, and two planes in one program would share it.
export const layer = () => Layer.effect(EntryStore, make)

const put = (
  tenant: TenantId,
  query: Query,
  write: EntryWrite,
  actor: string
): Effect.Effect<EntryRow, SqlError | EntryStoreError> =>
  Effect.flatMap(
    PgStatements.put(query, write, actor),
    Option.match({
      onSome: Effect.succeed,
      onNone: () =>
        Effect.flatMap(revisionOf(query, write), (actual) =>
          // Another writer came and went between the two statements: the expectation holds now.
          actual === write.ifRevision
            ? put(tenant, query, write, actor)
            : mismatch(tenant, write, write.ifRevision ?? 0, actual)
        )
    })
  )

const revisionOf = (query: Query, { key, namespace }: KeyName): Effect.Effect<number, SqlError> =>
  Effect.map(
    PgStatements.read(query, { namespace, key }),
    Option.match({ onNone: () => 0, onSome: ({ revision }) => revision })
  )

const mismatch = (
  tenant: TenantId,
  { key, namespace }: KeyName,
  expected: number,
  actual: number
): Effect.Effect<never, EntryStoreError> =>
  Effect.fail(new EntryStoreError({ tenant, reason: new RevisionMismatch({ namespace, key, expected, actual }) }))

const byName = (a: KeyName, b: KeyName) => compare(a.namespace, b.namespace) || compare(a.key, b.key)

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
