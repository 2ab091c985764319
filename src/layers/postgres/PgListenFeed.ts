/**
 * Change feeds over `LISTEN`: one session per feed, reconnected for ever.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { ListenSession } from "../../services/Connector.ts"
import { ListenFeed } from "../../services/ListenFeed.ts"
import * as ReconnectingFeed from "../feed/ReconnectingFeed.ts"
import { PgDatabases } from "./PgDatabases.ts"
import * as PgDigestDiff from "./PgDigestDiff.ts"
import * as PgFailure from "./PgFailure.ts"

const make = Effect.fnUntraced(function* (options: ReconnectingFeed.ReconnectingFeedOptions) {
  const databases = yield* PgDatabases
  return yield* ReconnectingFeed.make(options, (tenant) => Effect.map(databases.session(tenant), listening(tenant)))
})

export const layer = (options: ReconnectingFeed.ReconnectingFeedOptions) => Layer.effect(ListenFeed, make(options))

const listening =
  (tenant: TenantId) =>
  (session: ListenSession): ReconnectingFeed.FeedSource => {
    const diff = PgDigestDiff.make(session.query, session.queryEach)
    return {
      payloads: session.payloads,
      abandon: session.abandon,
      diff: (keys, known) =>
        Effect.mapError(
          diff(keys, known),
          (error) => new EntryStoreError({ tenant, reason: PgFailure.statementFailure(tenant, error) })
        )
    }
  }
