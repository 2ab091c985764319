/**
 * The catalogue of keys in memory.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryCatalog from "../../schema/memory/MemoryCatalog.ts"
import { KeyDeclarations } from "../../services/KeyDeclarations.ts"
import { MemoryClients } from "./MemoryClients.ts"

const make = Effect.map(MemoryClients, (clients) =>
  KeyDeclarations.of({
    declare: (tenant, declaredBy, declarations) =>
      Effect.map(clients.run(tenant, [MemoryCatalog.declare(declaredBy, declarations)]), ([declared]) => declared!),
    read: (tenant) => clients.read(tenant, MemoryCatalog.catalog)
  })
)

export const layer = Layer.effect(KeyDeclarations, make)
