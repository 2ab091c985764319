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
import * as PgCursorDiff from "./PgCursorDiff.ts"
import { PgDatabases } from "./PgDatabases.ts"
import * as PgFailure from "./PgFailure.ts"

export interface PgListenFeedOptions {
  /** In milliseconds. */
  readonly maxStaleness: number
}

const make = Effect.fnUntraced(function* (options: PgListenFeedOptions) {
  const databases = yield* PgDatabases
  return yield* ReconnectingFeed.make((tenant) => Effect.map(databases.session(tenant), listening(tenant, options)))
})

export const layer = (options: PgListenFeedOptions) => Layer.effect(ListenFeed, make(options))

const listening =
  (tenant: TenantId, { maxStaleness }: PgListenFeedOptions) =>
  (session: ListenSession): ReconnectingFeed.FeedSource => {
    // Less than the shortest pause before a verification, which so looks at the whole table.
    const { diff, heard } = PgCursorDiff.make(session.query, session.queryEach, { lasting: maxStaleness / 9 })
    return {
      heard,
      payloads: session.payloads,
      abandon: session.abandon,
      diff: (keys, known) =>
        Effect.mapError(diff(keys, known), (error) => EntryStoreError.of(tenant, PgFailure.statementFailure(error)))
    }
  }
