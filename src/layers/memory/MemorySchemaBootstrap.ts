/**
 * Databases in memory have their schema from the start, and need only be seeded.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ddl from "../../schema/ddl/Ddl.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as MemoryStatements from "../../schema/memory/MemoryStatements.ts"
import { PermissionDenied, SchemaBootstrapError } from "../../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { SchemaBootstrap } from "../../services/SchemaBootstrap.ts"
import { MemoryClients } from "./MemoryClients.ts"

const make = Effect.map(MemoryClients, (clients) => {
  const look = (tenant: TenantId) =>
    Effect.mapError(
      clients.read(tenant, () => undefined),
      bootstrapError(tenant)
    )

  return SchemaBootstrap.of({
    isPrepared: () => Effect.succeed(false),
    ensure: (tenant) => Effect.as(look(tenant), { changed: [], warnings: [] }),
    verify: (tenant) => Effect.as(look(tenant), { warnings: [] }),
    seed: (tenant, seeds) =>
      clients.run(tenant, seeds.map(MemoryStatements.seed)).pipe(
        Effect.map((inserted) => ({ inserted: inserted.filter(Boolean).length, refused: [] })),
        Effect.mapError(bootstrapError(tenant))
      ),
    abandon: () => Effect.void
  })
})

export const layer = Layer.effect(SchemaBootstrap, make)

const bootstrapError = (tenant: TenantId) => (error: EntryStoreError) =>
  error.reason._tag === "Refused"
    ? SchemaBootstrapError.of(tenant, new PermissionDenied({ sql: Ddl.grants("the role of the application") }))
    : SchemaBootstrapError.from(error)
