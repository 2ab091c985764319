/**
 * The entries of tenants in PostgreSQL.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EntryStore } from "../services/EntryStore.ts"
import * as PgStatements from "./PgStatements.ts"
import { TenantDatabases } from "./TenantDatabases.ts"

const make = Effect.map(TenantDatabases, (databases) =>
  EntryStore.of({
    read: (tenant, key) => databases.run(tenant, (query) => PgStatements.read(query, key)),
    differences: (tenant) => (keys, known) =>
      databases.run(tenant, (query) => PgStatements.differences(query, keys, known)),
    put: (tenant, key, json, actor) => databases.run(tenant, (query) => PgStatements.put(query, key, json, actor)),
    remove: (tenant, key) => databases.run(tenant, (query) => PgStatements.remove(query, key)),
    release: databases.release
  })
)

export const layer = Layer.effect(EntryStore, make)
