/**
 * The entries of tenants in memory.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as MemoryTable from "../../schema/MemoryTable.ts"
import { EntryStore, type EntryWrite } from "../../services/EntryStore.ts"
import { MemoryClients } from "./MemoryClients.ts"

const make = Effect.map(MemoryClients, (clients) =>
  EntryStore.of({
    read: (tenant, key) =>
      clients.read(tenant, (table) =>
        Option.map(Option.fromUndefinedOr(MemoryTable.find(table, key)), MemoryTable.entryRow)
      ),
    diff: (tenant) => (keys, known) => clients.read(tenant, (table) => MemoryTable.diff(table, keys, known)),
    put: (tenant, write, actor) =>
      Effect.map(clients.run(tenant, [put(write, actor)]), ([row]) => MemoryTable.entryRow(row!)),
    putAll: (tenant, writes, actor) =>
      Effect.map(
        clients.run(
          tenant,
          writes.map((write) => put(write, actor))
        ),
        (rows) => rows.map(MemoryTable.entryRow)
      ),
    remove: (tenant, key, ifRevision) =>
      Effect.map(clients.run(tenant, [MemoryTable.remove(key, ifRevision)]), ([revision]) =>
        Option.fromUndefinedOr(revision)
      ),
    release: clients.release
  })
)

// A layer of its own for each plane: one value would be built once, and two planes in one program would share it.
export const layer = () => Layer.effect(EntryStore, make)

const put = ({ ifRevision, json, key, namespace }: EntryWrite, actor: string) =>
  MemoryTable.put({ namespace, key, json, actor, ifRevision })
