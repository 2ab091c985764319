/** The implementations in memory. */
import { Effect, Layer, Option } from "effect"
import { MemoryDriver, SystemplaneMemory } from "effect-systemplane/testing"
import * as MemoryDatabases from "../../src/layers/memory/MemoryDatabases.ts"
import { backend } from "../../src/layers/SystemplaneMemory.ts"
import * as keys from "../support/keys.ts"
import { silent } from "../support/TestPlane.ts"
import { Acme } from "./Acme.ts"
import { below, type Implementation, reconnect } from "./Implementation.ts"

const driven = Layer.effect(
  Acme,
  Effect.gen(function* () {
    const { client, feed, ...acme } = yield* MemoryDriver.tenant("acme")
    return Acme.of({
      write: (key, value) => Effect.map(Effect.orDie(acme.write(key, value)), ({ revision }) => revision),
      erase: (key) => acme.erase(key),
      transact: (changes) => Effect.orDie(acme.transact(changes)),
      withoutTriggers: (changes) => Effect.orDie(acme.transact(changes, { triggers: false })),
      truncate: acme.truncate,
      backup: acme.backup,
      rows: acme.rows,
      listeners: feed.open,
      sessions: Effect.zipWith(feed.open, client.open, (listening, others) => listening + others),
      killListeners: feed.disconnect
    })
  }).pipe(Effect.orDie)
)

const services = backend.pipe(
  Layer.provide(below),
  Layer.merge(driven),
  Layer.provide(MemoryDatabases.layer({ sole: Option.none(), beside: undefined }))
)

export const inMemory: Implementation<never> = {
  name: "memory",
  database: Layer.empty,
  services,
  plane: (options = {}) =>
    driven.pipe(
      Layer.provideMerge(SystemplaneMemory({ keys: keys.all, tenants: ["acme"], reconnect, ...options })),
      Layer.provide(silent)
    )
}
