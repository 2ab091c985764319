/** Planes to read from, without a database: what a cached read costs does not depend on where the values came from. */
import { Effect, Layer, References } from "effect"
import { TenantManager } from "effect-systemplane"
import * as Testing from "effect-systemplane/testing"
import type { Workload } from "./Workload.ts"

export const silent = Layer.succeed(References.MinimumLogLevel, "None")

/**
 * A plane in memory on which every tenant of the workload is live, from this copy of the package. Nothing is verified
 * meanwhile, so that no timer fires during a batch.
 */
export const live = (
  workload: Workload,
  {
    MemoryDriver,
    SystemplaneMemory,
    TenantManager: Manager = TenantManager
  }: Pick<typeof Testing, "MemoryDriver" | "SystemplaneMemory"> & {
    readonly TenantManager?: typeof TenantManager
  } = Testing
) =>
  Effect.gen(function* () {
    const plane = yield* Layer.build(
      SystemplaneMemory({ keys: workload.keys, seedDefaults: false, maxStaleness: "1 hour" }).pipe(
        Layer.provide(silent)
      )
    )
    yield* Effect.forEach(workload.tenants, (tenant, t) =>
      Effect.gen(function* () {
        const database = yield* MemoryDriver.tenant(tenant)
        yield* database.transact(workload.keys.map((key, k) => ({ key, value: workload.value(t, k) })))
        yield* Manager.use((manager) => manager.activate(tenant))
      })
    ).pipe(Effect.provide(plane))
    return plane
  }).pipe(Effect.orDie)
