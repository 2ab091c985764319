/** A plane as the soak composes it. */
import { Layer, Redacted } from "effect"
import { PgConnector, SystemplaneLive } from "effect-systemplane"
import * as Keys from "../Keys.ts"
import type { HostSettings } from "../Messages.ts"

export const make = ({ urlTemplate }: HostSettings["planes"][number], { maxStaleness, tenants }: HostSettings) =>
  SystemplaneLive({
    keys: Keys.all,
    tenants,
    boot: "background",
    maxStaleness,
    // Quicker than by default, so that a minute holds many faults.
    reconnect: { base: "100 millis", cap: "2 seconds" }
  }).pipe(
    Layer.provide(
      PgConnector.layerTemplate({
        url: Redacted.make(urlTemplate),
        maxConnections: 2,
        connectTimeout: "3 seconds"
      })
    )
  )
