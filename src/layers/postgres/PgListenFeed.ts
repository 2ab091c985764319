/**
 * Change feeds over `LISTEN`: one session per feed, reconnected for ever.
 */
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Ddl from "../../schema/ddl/Ddl.ts"
import { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as Freshness from "../../schema/Freshness.ts"
import { type KeyName, show } from "../../schema/KeyName.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query, QueryEach } from "../../services/Connector.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { ListenFeed } from "../../services/ListenFeed.ts"
import * as ReconnectingFeed from "../feed/ReconnectingFeed.ts"
import { verifyLock } from "../runtime/Timeouts.ts"
import * as ReportedOnce from "../store/ReportedOnce.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import * as PgFailure from "./connection/PgFailure.ts"
import * as PgDiff from "./diff/PgDiff.ts"
import * as PgEncodableKeys from "./diff/PgEncodableKeys.ts"
import * as PgNamespaceScan from "./diff/PgNamespaceScan.ts"
import { PgDatabases } from "./PgDatabases.ts"
import * as PgHistoryStore from "./PgHistoryStore.ts"
import * as PgSchemaWatch from "./schema/PgSchemaWatch.ts"

export interface PgListenFeedOptions {
  /** In milliseconds. */
  readonly maxStaleness: number
  /** Whether the database records every change. */
  readonly history: boolean
  /** Whether databases are prepared before they are followed. */
  readonly prepared: boolean
}

const make = Effect.fnUntraced(function* (options: PgListenFeedOptions) {
  const databases = yield* PgDatabases
  const telemetry = yield* Telemetry
  const run = yield* FiberMap.makeRuntime<never, TenantId>()
  const compare = yield* FiberMap.makeRuntime<never, TenantId>()
  const objects = Ddl.objects(options.history)
  const close = yield* PgHistoryStore.verifying(verifyLock.background)
  // While the layer is built: no tenant's first load waits for it.
  PgNamespaceScan.remember((yield* KeyRegistry).keys)

  /** Rows that no record tells of are recorded, and reported: the triggers were off, or a dump was restored. */
  const verify = (tenant: TenantId) => {
    run(
      tenant,
      close(tenant).pipe(
        Effect.flatMap((found) =>
          found === 0
            ? Effect.void
            : Effect.logWarning(
                "Entries were changed without a record; the history names their writer as unrecorded"
              ).pipe(Effect.annotateLogs({ tenant, found }), Effect.andThen(telemetry.unrecorded(tenant, found)))
        ),
        Effect.catch((error) =>
          Effect.logDebug("The history was not verified").pipe(Effect.annotateLogs({ tenant, cause: error.message }))
        )
      )
    )
  }
  const reported = ReportedOnce.make<string>()
  /** Once for each tenant, though every session finds it anew. */
  const unencodable = (tenant: TenantId) => (keys: ReadonlyArray<KeyName>) => {
    const names = keys.map(show)
    return reported.isNew(tenant, names.join())
      ? Effect.logWarning(
          "The encoding of the database cannot hold the names of some keys: their defaults are in force"
        ).pipe(Effect.annotateLogs({ tenant, keys: names }))
      : Effect.void
  }
  const lasting = Freshness.lookInterval(options.maxStaleness)

  // Kept when a feed ends: with new credentials a tenant is followed on without being looked at as a whole.
  const watches = new Map<TenantId, PgSchemaWatch.PgSchemaWatch>()
  const watchOf = (tenant: TenantId) => {
    const watch = watches.get(tenant) ?? PgSchemaWatch.make(objects, { interval: lasting, prepared: options.prepared })
    watches.delete(tenant)
    watches.set(tenant, watch)
    if (watches.size > mostWatched) watches.delete(watches.keys().next().value!)
    return watch
  }

  return yield* ReconnectingFeed.make((tenant) => {
    const watch = watchOf(tenant)
    return Effect.map(databases.session(tenant), (session) => {
      // One read at a time: what arrives belongs to the one under way. A verification is several statements.
      let arrived = () => {}
      const reportArrival = Effect.sync(() => arrived())
      const { query } = session
      const queryOfRead: Query = (sql, params) => Effect.tap(query(sql, params), () => reportArrival)
      const queryEach = reportingArrivals(session.queryEach, () => arrived())
      const following = PgDiff.onSession(queryOfRead, queryEach, {
        lasting,
        onMismatch: () => verify(tenant),
        onSize: (bytes) => telemetry.historySize(tenant, bytes)
      })
      const diff = PgEncodableKeys.among(queryOfRead, following.diff, unencodable(tenant))
      // In the background: no read waits for an address that may not answer.
      const isAsItWas = watch.on(query, () =>
        compare(
          tenant,
          Effect.flatMap(databases.areApart(tenant), (apart) => (apart ? session.abandon : Effect.void))
        )
      )
      const read = (keys: ReadonlyArray<KeyName>, known: ReadonlyArray<bigint | undefined>) =>
        Effect.flatMap(Effect.tap(isAsItWas, reportArrival), (asItWas) =>
          asItWas
            ? Effect.mapError(diff(keys, known), PgFailure.statementFailure)
            : Effect.fail(new EntryStoreError.Refused({ code: outOfOrder }))
        )
      return {
        heard: following.heard,
        verifiedAt: following.verifiedAt,
        payloads: session.payloads,
        abandon: session.abandon,
        diff: (keys, known, whenArrived = () => {}) => {
          arrived = whenArrived
          return Effect.mapError(read(keys, known), (reason) => EntryStoreError.of(tenant, reason))
        }
      }
    })
  })
})

export const layer = (options: PgListenFeedOptions) => Layer.effect(ListenFeed, make(options))

/** Tenants whose catalogue is remembered. One that is forgotten is looked at as one that was just prepared. */
const mostWatched = 10_000

const reportingArrivals = (queryEach: QueryEach | undefined, arrived: () => void): QueryEach | undefined =>
  queryEach &&
  ((sql, params, take) =>
    queryEach(sql, params, (rows) => {
      arrived()
      take(rows)
    }))

/** `invalid_object_definition`: what PostgreSQL says of an object that is not what a statement needs. */
const outOfOrder = "42P17"
