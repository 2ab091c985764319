/**
 * The entries of tenants in memory.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ChangeIdReused, EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as MemoryChange from "../../schema/memory/MemoryChange.ts"
import * as MemoryTable from "../../schema/memory/MemoryTable.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { MemoryClients } from "./MemoryClients.ts"

const make = Effect.map(MemoryClients, (clients) =>
  EntryStore.of({
    read: (tenant, key) =>
      clients.read(tenant, (table) =>
        Option.map(Option.fromUndefinedOr(MemoryTable.find(table, key)), MemoryTable.entryRow)
      ),
    diff: (tenant) => (keys, known) => clients.read(tenant, (table) => MemoryTable.diff(table, keys, known)),
    write: (tenant, writes, change) =>
      writes.length === 0
        ? Effect.succeed({ written: [], current: true })
        : Effect.map(clients.run(tenant, [MemoryChange.change(writes, change)]), ([receipt]) => receipt!),
    outcome: (tenant, writes, change) =>
      Effect.flatMap(
        clients.read(tenant, (table) => MemoryChange.outcome(table, writes, change)),
        (found) =>
          found === "reused"
            ? Effect.fail(EntryStoreError.of(tenant, new ChangeIdReused({ id: change.id })))
            : Effect.succeed(found)
      ),
    fence: (tenant, writes, one, change) =>
      Effect.map(clients.run(tenant, [MemoryChange.fence(writes, one, change)]), ([receipt]) =>
        Option.fromUndefinedOr(receipt)
      ),
    release: clients.release
  })
)

export const layer = Layer.effect(EntryStore, make)
