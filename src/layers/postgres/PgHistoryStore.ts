/**
 * The history of tenants in PostgreSQL: statements about `systemplane_history`, each of them one round trip.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { SqlError } from "effect/sql/SqlError"
import { saysObjectsMissing } from "../../schema/CodeWords.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import { HistoryMissing } from "../../schema/operator/ChangeHistoryError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import { type HistoryDelta, HistoryStore, type HistoryStoreError } from "../../services/HistoryStore.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { verifyLock } from "../runtime/Timeouts.ts"
import { orNothing } from "./diff/PgEncodableKeys.ts"
import * as PgChanges from "./history/PgChanges.ts"
import * as PgPast from "./history/PgPast.ts"
import * as PgSince from "./history/PgSince.ts"
import * as PgUpkeep from "./history/PgUpkeep.ts"
import { PgDatabases } from "./PgDatabases.ts"

const make = Effect.gen(function* () {
  const databases = yield* PgDatabases
  const verify = yield* verifying()
  const run = <A>(
    tenant: TenantId,
    statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>
  ): Effect.Effect<A, HistoryStoreError> => Effect.mapError(databases.run(tenant, statement), missing(tenant))

  return HistoryStore.of({
    changes: (tenant, query) => {
      const texts = [query.namespace, query.key, query.actor].filter((text) => text !== undefined)
      return run(tenant, orNothing([], texts, PgChanges.changes(query)))
    },
    ofKey: (tenant, key, page) =>
      run(tenant, orNothing({ records: [], full: false }, textsOf(key), PgPast.ofKey(key, page))),
    ofRevision: (tenant, key, revision) =>
      run(tenant, orNothing(undefined, textsOf(key), PgPast.ofRevision(key, revision))),
    recall: (tenant, keys, limit) => run(tenant, PgPast.recall(keys, limit)),
    ofChange: (tenant, changeId) => run(tenant, PgPast.ofChange(changeId)),
    at: (tenant, moment) => run(tenant, PgPast.at(moment)),
    since: (tenant, cursor) => Effect.flatMap(run(tenant, PgSince.since(cursor)), onPrimary(tenant)),
    verify,
    purge: (tenant, retention) => run(tenant, PgUpkeep.purge(retention))
  })
})

const textsOf = ({ key, namespace }: KeyName) => [namespace, key]

export const layer = Layer.effect(HistoryStore, make)

/** How often a verification that finds writers at work all the time is tried again. */
export interface VerifyPatience {
  readonly pause: Duration.Input
  readonly times: number
}

/**
 * `HistoryStore.verify`. A role that may only read reports the gap, and closes nothing. No value of a secret of this
 * process is recorded, also if the database does not know it yet.
 */
export const verifying = Effect.fnUntraced(function* ({ pause, times }: VerifyPatience = verifyLock.asked) {
  const databases = yield* PgDatabases
  const secrets = (yield* KeyRegistry).keys.filter(({ secret }) => secret)
  return (tenant: TenantId): Effect.Effect<number, HistoryStoreError> =>
    databases
      .runInTransaction(tenant, (query) => PgUpkeep.verify(query, secrets))
      .pipe(
        Effect.retry({ while: isLocked, schedule: Schedule.spaced(pause), times }),
        Effect.catchIf(mayOnlyRead, () => databases.run(tenant, PgUpkeep.countUnrecorded)),
        Effect.mapError(missing(tenant))
      )
})

/** Whether a verification found writers at work all the time. */
const isLocked = (error: HistoryStoreError): boolean =>
  error._tag === "EntryStoreError" && error.reason._tag === "Refused" && error.reason.code === "55P03"

const mayOnlyRead = ({ reason }: EntryStoreError) =>
  reason._tag === "Refused" && (reason.code === "42501" || reason.code === "25006")

/** What a server says that has no history of ours, or does not show it to this role. */
const missing =
  (tenant: TenantId) =>
  (error: EntryStoreError): HistoryStoreError => {
    const code = error.reason._tag === "Refused" ? error.reason.code : undefined
    if (saysObjectsMissing(error.reason)) {
      return new HistoryMissing({
        tenant,
        problem: `its tables are missing or outdated (${code}); run Ddl.sql on its database`
      })
    }
    return code === "42501"
      ? new HistoryMissing({
          tenant,
          problem:
            "the role lacks a privilege (42501); run Ddl.grants(role) on its database, with { purge: true } to purge"
        })
      : error
  }

const onPrimary =
  (tenant: TenantId) =>
  ({ recovery, ...delta }: PgSince.Read): Effect.Effect<HistoryDelta, HistoryMissing> =>
    recovery
      ? Effect.fail(
          new HistoryMissing({
            tenant,
            problem: "its server is a standby, which cannot tell what is committed later; connect to the primary"
          })
        )
      : Effect.succeed(delta)
