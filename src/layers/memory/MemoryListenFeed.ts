/**
 * Change feeds over sessions in memory, reconnected as those on PostgreSQL are.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ListenFeed } from "../../services/ListenFeed.ts"
import * as ReconnectingFeed from "../feed/ReconnectingFeed.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import { MemoryDatabases } from "./MemoryDatabases.ts"

const make = Effect.gen(function* () {
  const databases = yield* MemoryDatabases
  const limiter = yield* ConnectLimiter
  return yield* ReconnectingFeed.make((tenant) => limiter.session(tenant, databases.session(tenant)))
})

export const layer = Layer.effect(ListenFeed, make)
