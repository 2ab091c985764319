/**
 * The entries of tenants in PostgreSQL.
 *
 * A write is one statement: what failed before it was committed did nothing. A statement that the server took back
 * because of others (a deadlock, or an isolation level above `READ COMMITTED`) is run again. One that wrote nothing is
 * explained by the history, if the database has one: perhaps an earlier copy of the same change has landed.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { SqlError } from "effect/sql/SqlError"
import { changeIdReused } from "../../schema/ddl/DdlChange.ts"
import {
  ChangeIdReused,
  EntryStoreError,
  NotCommitted,
  Refused,
  RevisionConflict,
  Skipped,
  Unencodable
} from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { ChangeRequest, Receipt } from "../../schema/WriteRequest.ts"
import type { Query } from "../../services/Connector.ts"
import { type ChangeOutcome, EntryStore, type EntryWrite } from "../../services/EntryStore.ts"
import { readTimeout, rollbackRetries, writeTimeout } from "../runtime/Timeouts.ts"
import * as PgFailure from "./connection/PgFailure.ts"
import * as PgDiff from "./diff/PgDiff.ts"
import * as PgEncodableKeys from "./diff/PgEncodableKeys.ts"
import { PgDatabases } from "./PgDatabases.ts"
import * as PgEntryRead from "./PgEntryRead.ts"
import * as PgFence from "./PgFence.ts"
import * as PgOtherTriggers from "./PgOtherTriggers.ts"
import * as PgWrites from "./PgWrites.ts"

const runAgain = <A>(statement: Effect.Effect<A, EntryStoreError>): Effect.Effect<A, EntryStoreError> =>
  Effect.retry(statement, {
    while: (error) => PgFailure.isRolledBackByOthers(error) || isTorn(error),
    schedule: Schedule.exponential(rollbackRetries.firstPause).pipe(
      Schedule.jittered,
      Schedule.upTo({ times: rollbackRetries.times, duration: rollbackRetries.within })
    )
  })

const isRefused = ({ reason }: EntryStoreError): boolean => reason._tag === "Refused"

const isTorn = ({ reason }: EntryStoreError): boolean => reason._tag === "Refused" && reason.code === PgWrites.torn

/** Whether the statement was taken back because it left rows out. */
const isIncomplete = (error: EntryStoreError): boolean =>
  isTorn(error) || (error.reason._tag === "Refused" && error.reason.code === PgWrites.skipped)

/**
 * How often a guarded write is made anew because it wrote nothing although each row was as expected when it was looked
 * at: another writer came and went meanwhile.
 */
const attempts = 3

const make = Effect.map(PgDatabases, (databases) => {
  const budgetOf = (writes: ReadonlyArray<EntryWrite>) => writeTimeout(writes.map(({ json }) => json))
  return EntryStore.of({
    read: (tenant, key) =>
      databases.run(
        tenant,
        PgEncodableKeys.orNothing(Option.none(), [key.namespace, key.key], (query) => PgEntryRead.read(query, key))
      ),
    diff: (tenant) => (keys, known) =>
      databases.run(
        tenant,
        (query) => PgEncodableKeys.among(query, (keys, known) => PgDiff.once(query, keys, known))(keys, known),
        readTimeout(keys.length)
      ),
    write: (tenant, writes, change) =>
      writes.length === 0
        ? Effect.succeed({ written: [], current: true })
        : runAgain(databases.run(tenant, (query) => write(tenant, query, writes, change), budgetOf(writes))).pipe(
            Effect.catchIf(isIncomplete, (error) =>
              databases.run(tenant, (query) => incomplete(tenant, query, writes, change, error), budgetOf(writes))
            ),
            Effect.catchIf(isOfEncoding, (error) =>
              Effect.flatMap(
                databases.run(tenant, (query) => PgEncodableKeys.unencodableOf(query, textsOf(writes, change))),
                (texts) => Effect.fail(unencodable(error, texts))
              )
            ),
            Effect.mapError((error) => refusalOf(error, change))
          ),
    outcome: (tenant, writes, change) =>
      databases.run(tenant, (query) => outcome(tenant, query, writes, change), budgetOf(writes)),
    fence: (tenant, writes, one, change) =>
      databases
        .runInTransaction(tenant, (query) => PgFence.fence(query, one, change))
        .pipe(
          Effect.as(Option.none<Receipt>()),
          // A copy that took effect meanwhile is the reason, or the history tells nothing new.
          Effect.catchIf(isRefused, (refusal) =>
            Effect.flatMap(
              databases.run(tenant, (query) => outcome(tenant, query, writes, change), budgetOf(writes)),
              (found) => (found._tag === "Landed" ? Effect.succeedSome(found.receipt) : Effect.fail(refusal))
            )
          )
        ),
    release: databases.release
  })
})

export const layer = Layer.effect(EntryStore, make)

const write = Effect.fnUntraced(function* (
  tenant: TenantId,
  query: Query,
  writes: ReadonlyArray<EntryWrite>,
  change: ChangeRequest
): Effect.fn.Return<Receipt, SqlError | EntryStoreError> {
  for (let attempt = 1; ; attempt++) {
    const attempted = yield* PgWrites.put(query, writes, change)
    const written = attempted.map(({ deleted, row }) => ({ deleted, row }))
    if (written.some(({ deleted, row }) => row !== undefined || deleted !== undefined))
      return { written, current: true }
    // Whatever becomes of this question: the statement before it did nothing.
    const found = yield* Effect.mapError(outcome(tenant, query, writes, change), (error) =>
      error._tag === "EntryStoreError"
        ? error
        : notCommitted(EntryStoreError.of(tenant, PgFailure.statementFailure(error)))
    )
    if (found._tag === "Landed") return found.receipt
    const hurt = writes.findIndex(
      ({ ifRevision }, index) => ifRevision !== undefined && ifRevision !== attempted[index]!.actual
    )
    if (hurt >= 0) return yield* mismatch(tenant, writes[hurt]!, attempted[hurt]!.actual)
    const nothingToDo = writes.every(({ json }) => json === undefined)
    if (nothingToDo) return { written, current: true }
    if (attempt === attempts) {
      return yield* skippedBy(tenant, query, EntryStoreError.of(tenant, new Refused({ code: "40001" })))
    }
  }
})

/**
 * A statement that left rows out: the change took effect before, a trigger of others skips them, or others write them.
 */
const incomplete = (
  tenant: TenantId,
  query: Query,
  writes: ReadonlyArray<EntryWrite>,
  change: ChangeRequest,
  error: EntryStoreError
): Effect.Effect<Receipt, SqlError | EntryStoreError> =>
  Effect.flatMap(outcome(tenant, query, writes, change), (found) =>
    found._tag === "Landed" ? Effect.succeed(found.receipt) : skippedBy(tenant, query, error)
  )

const skippedBy = (tenant: TenantId, query: Query, otherwise: EntryStoreError) =>
  Effect.flatMap(PgOtherTriggers.names(query), (triggers) =>
    Effect.fail(triggers.length === 0 ? otherwise : EntryStoreError.of(tenant, new Skipped({ triggers })))
  )

/** A database without our history, or whose history this role may not read, cannot tell. */
const cannotTell = (error: SqlError) => /^(42P01|42703|42501)$/.test(PgFailure.codeOf(error).code ?? "")

const outcome = (
  tenant: TenantId,
  query: Query,
  writes: ReadonlyArray<EntryWrite>,
  change: ChangeRequest
): Effect.Effect<ChangeOutcome, SqlError | EntryStoreError> =>
  PgWrites.outcomeOf(query, writes, change).pipe(
    Effect.catchIf(cannotTell, () => Effect.succeed({ _tag: "Unrecorded" } as const)),
    Effect.flatMap((found) =>
      found._tag === "Reused"
        ? Effect.fail(EntryStoreError.of(tenant, new ChangeIdReused({ id: change.id })))
        : Effect.succeed(found)
    )
  )

const refusalOf = (error: EntryStoreError, change: ChangeRequest): EntryStoreError => {
  if (error.reason._tag !== "Refused") return error
  const { tenant } = error
  if (error.reason.code === changeIdReused) {
    return EntryStoreError.of(tenant, new ChangeIdReused({ id: change.id }))
  }
  return isTorn(error) ? EntryStoreError.of(tenant, new Refused({ code: "40001" })) : error
}

const isOfEncoding = ({ reason }: EntryStoreError): boolean =>
  reason._tag === "Refused" && PgEncodableKeys.isUnencodableCode(reason.code)

type Part = EntryStoreError.Unencodable["parts"][number]

/** What a write consists of, each text with what it is. */
const textsOf = (writes: ReadonlyArray<EntryWrite>, { actor, reason = "" }: ChangeRequest) => {
  const texts: Array<{ readonly text: string; readonly part: Part }> = []
  for (const { json = "", key, namespace } of writes) {
    texts.push({ text: `${namespace}${key}`, part: { part: "name", namespace, key } })
    texts.push({ text: json, part: { part: "value", namespace, key } })
  }
  return [
    ...texts,
    { text: actor, part: { part: "actor" as const } },
    { text: reason, part: { part: "reason" as const } }
  ]
}

const unencodable = (error: EntryStoreError, texts: ReadonlyArray<{ readonly part: Part }>): EntryStoreError => {
  const [first, ...others] = texts.map(({ part }) => part)
  return first === undefined
    ? error
    : EntryStoreError.of(error.tenant, new Unencodable({ parts: [first, ...others] }), error.address)
}

const notCommitted = (error: EntryStoreError): EntryStoreError =>
  error.reason._tag === "Unanswered"
    ? EntryStoreError.of(error.tenant, new NotCommitted({ ...codeOf(error.reason) }), error.address)
    : error

const codeOf = ({ code }: { readonly code?: string }) => (code === undefined ? {} : { code })

const mismatch = (tenant: TenantId, { ifRevision = 0, key, namespace }: EntryWrite, actual: number) =>
  EntryStoreError.of(tenant, new RevisionConflict({ namespace, key, expected: ifRevision, actual }))
