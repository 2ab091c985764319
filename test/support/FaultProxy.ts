/** A TCP proxy in front of the server, on which the network fails as a test wants it to. */
import * as Net from "node:net"
import { Effect, Redacted } from "effect"
import { inject } from "vitest"

export interface FaultProxy {
  /** A URL of the server, by way of the proxy. */
  readonly through: (url: Redacted.Redacted) => Redacted.Redacted
  /** New connections work. This is how a proxy begins. */
  readonly pass: Effect.Effect<void>
  /**
   * Swallows everything, both ways, on open connections and on new ones: TCP answers, and nobody else does. An open
   * connection never comes back from it, and neither end hears that the other one closed.
   */
  readonly blackHole: Effect.Effect<void>
  /** Resets new connections as soon as they are made. Open ones go on. */
  readonly refuse: Effect.Effect<void>
  /** Resets the open connections. */
  readonly cut: Effect.Effect<void>
  /** How many connections were attempted, in whatever mode. */
  readonly attempts: Effect.Effect<number>
}

interface Connection {
  readonly client: Net.Socket
  readonly server: Net.Socket
  lost: boolean
}

/** A proxy in front of the server of the tests. */
export const make = Effect.suspend(() => makeTo(new URL(inject("postgresUrl"))))

/** A proxy in front of any server. */
export const makeTo = Effect.fnUntraced(function* (target: URL) {
  const connections = new Set<Connection>()
  let mode: "pass" | "black-hole" | "refuse" = "pass"
  let attempts = 0

  const accept = (client: Net.Socket) => {
    attempts++
    client.on("error", () => {})
    if (mode === "refuse") {
      client.resetAndDestroy()
      return
    }
    const server = Net.connect({ host: target.hostname, port: Number(target.port || 5432), noDelay: true })
    server.on("error", () => {})
    const connection: Connection = { client, server, lost: mode === "black-hole" }
    connections.add(connection)
    forward(connection, client, server)
    forward(connection, server, client)
  }

  const forward = (connection: Connection, from: Net.Socket, to: Net.Socket) => {
    from.on("data", (bytes) => {
      if (!connection.lost) to.write(bytes)
    })
    from.on("close", () => {
      if (connection.lost) return
      connections.delete(connection)
      to.destroy()
    })
  }

  const destroyAll = () => {
    for (const { client, server } of connections) {
      client.resetAndDestroy()
      server.destroy()
    }
    connections.clear()
  }

  const listening = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer({ noDelay: true }, accept)
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        destroyAll()
      })
  )
  const { port } = listening.address() as Net.AddressInfo

  const proxy: FaultProxy = {
    through: (url) => {
      const changed = new URL(Redacted.value(url))
      changed.host = `127.0.0.1:${port}`
      return Redacted.make(changed.toString())
    },
    pass: Effect.sync(() => {
      mode = "pass"
    }),
    blackHole: Effect.sync(() => {
      mode = "black-hole"
      for (const connection of connections) connection.lost = true
    }),
    refuse: Effect.sync(() => {
      mode = "refuse"
    }),
    cut: Effect.sync(destroyAll),
    attempts: Effect.sync(() => attempts)
  }
  return proxy
})
