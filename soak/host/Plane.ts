/** A plane as the soak composes it, with code of the application that throws now and then. */
import { readFile } from "node:fs/promises"
import { Effect, Layer, type Logger, Option, Redacted } from "effect"
import { PgConnector, SystemplaneLive } from "effect-systemplane"
import * as Keys from "../Keys.ts"
import type { HostSettings } from "../Messages.ts"
import * as ThrowingCode from "./ThrowingCode.ts"

type PlaneSettings = HostSettings["planes"][number]

export const make = (
  plane: PlaneSettings,
  { maxStaleness, remade, tenants }: HostSettings,
  logger: Logger.Logger<unknown, unknown>
) =>
  SystemplaneLive({
    keys: Keys.all,
    tenants: [...tenants, ...remade],
    boot: "background",
    maxStaleness,
    // Quicker than by default, so that a minute holds many faults.
    reconnect: { base: "100 millis", cap: "2 seconds" }
  }).pipe(Layer.provide(connector(plane)), Layer.provide(ThrowingCode.layer([logger])))

/** Asks for the password each time, as of a secret store, and throws now and then. */
const connector = ({ passwordFile, urlTemplate }: PlaneSettings) => {
  const now = ThrowingCode.every(10, "a resolver")
  return PgConnector.layerFrom((tenant) => {
    now()
    return Effect.map(
      Effect.tryPromise(() => readFile(passwordFile, "utf8")),
      (password) =>
        Option.some({
          url: Redacted.make(urlTemplate.replaceAll("{tenant}", tenant)),
          password: Redacted.make(password),
          maxConnections: 2,
          connectTimeout: "3 seconds"
        })
    )
  })
}
