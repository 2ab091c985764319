/** Planes to read from, without a database: what a cached read costs does not depend on where the values came from. */
import { Effect, Layer, References } from "effect"
import type * as Systemplane from "effect-systemplane"
import { SystemplaneLive } from "effect-systemplane"
import * as ScriptedConnector from "../test/support/ScriptedConnector.ts"
import type { Workload } from "./workload.ts"

export const silent = Layer.succeed(References.MinimumLogLevel, "None")

/**
 * A plane on which every tenant of the workload is live, from this copy of the package. Nothing is verified meanwhile, so
 * that no timer fires during a batch.
 */
export const live = (workload: Workload, layerOf: typeof Systemplane.SystemplaneLive = SystemplaneLive) => {
  const connector = ScriptedConnector.make()
  workload.tenants.forEach((tenant, t) => {
    const { write } = connector.tenant(tenant)
    workload.keys.forEach(({ key, namespace }, k) => {
      write(`${namespace}/${key}`, workload.value(t, k))
    })
  })
  const plane = layerOf({
    keys: workload.keys,
    tenants: workload.tenants,
    bootstrap: "skip",
    seedDefaults: false,
    maxStaleness: "1 hour",
    bootTimeout: "1 minute"
  }).pipe(Layer.provide([connector.layer, silent]))
  return Effect.orDie(Layer.build(plane))
}
