/**
 * Change feeds over sessions in memory, reconnected as those on PostgreSQL are.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ListenFeed } from "../services/ListenFeed.ts"
import { MemoryDatabases } from "./MemoryDatabases.ts"
import * as ReconnectingFeed from "./ReconnectingFeed.ts"

export const layer = (options: ReconnectingFeed.ReconnectingFeedOptions) =>
  Layer.effect(
    ListenFeed,
    Effect.flatMap(MemoryDatabases, ({ session }) => ReconnectingFeed.make(options, session))
  )
