/**
 * Change feeds over `LISTEN`: one session per feed, reconnected for ever.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import { EntryStoreError } from "../../schema/EntryStoreError.ts"
import { type KeyName, show } from "../../schema/KeyName.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { ListenSession } from "../../services/Connector.ts"
import { ListenFeed } from "../../services/ListenFeed.ts"
import * as ReconnectingFeed from "../feed/ReconnectingFeed.ts"
import * as ReportedOnce from "../store/ReportedOnce.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import * as PgFailure from "./connection/PgFailure.ts"
import * as PgCursorDiff from "./diff/PgCursorDiff.ts"
import * as PgEncodableKeys from "./diff/PgEncodableKeys.ts"
import { PgDatabases } from "./PgDatabases.ts"
import * as PgHistoryStore from "./PgHistoryStore.ts"

export interface PgListenFeedOptions {
  /** In milliseconds. */
  readonly maxStaleness: number
}

const make = Effect.fnUntraced(function* (options: PgListenFeedOptions) {
  const databases = yield* PgDatabases
  const telemetry = yield* Telemetry
  const verifications = yield* FiberSet.makeRuntime()

  /** Rows that no record tells of are recorded, and reported: the triggers were off, or a dump was restored. */
  const verify = (tenant: TenantId) => {
    verifications(
      PgHistoryStore.verifying(databases)(tenant).pipe(
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
  return yield* ReconnectingFeed.make((tenant) =>
    Effect.map(databases.session(tenant), listening(tenant, options, verify, unencodable(tenant)))
  )
})

export const layer = (options: PgListenFeedOptions) => Layer.effect(ListenFeed, make(options))

const listening =
  (
    tenant: TenantId,
    { maxStaleness }: PgListenFeedOptions,
    verify: (tenant: TenantId) => void,
    unencodable: (keys: ReadonlyArray<KeyName>) => Effect.Effect<void>
  ) =>
  (session: ListenSession): ReconnectingFeed.FeedSource => {
    // Less than the shortest pause before a verification, which so looks at the whole table.
    const following = PgCursorDiff.make(session.query, session.queryEach, {
      lasting: maxStaleness / 9,
      onMismatch: () => verify(tenant)
    })
    const diff = PgEncodableKeys.among(session.query, following.diff, unencodable)
    return {
      heard: following.heard,
      payloads: session.payloads,
      abandon: session.abandon,
      diff: (keys, known) =>
        Effect.mapError(diff(keys, known), (error) => EntryStoreError.of(tenant, PgFailure.statementFailure(error)))
    }
  }
