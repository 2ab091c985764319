/** A TCP proxy in front of a server, on which the network fails as a test wants it to. */
import * as Net from "node:net"
import { Duration, Effect, Redacted } from "effect"
import { inject } from "vitest"
import * as FaultPipe from "./FaultPipe.ts"

/** Which way bytes travel. */
export type Direction = "toServer" | "toClient"

export interface FaultProxy {
  /** A URL of the server, by way of the proxy. */
  readonly through: (url: Redacted.Redacted) => Redacted.Redacted

  /** New connections work. This is how a proxy begins. */
  readonly pass: Effect.Effect<void>
  /** Resets new connections as soon as they are made. Open ones go on. */
  readonly refuse: Effect.Effect<void>
  /**
   * Swallows everything, both ways, on open connections and on new ones: only TCP answers. An open
   * connection never comes back from it, and neither end hears that the other one closed.
   */
  readonly blackHole: Effect.Effect<void>
  /**
   * Swallows everything on the connections that are open now, both ways unless one is given. New ones work as before.
   */
  readonly lose: (direction?: Direction) => Effect.Effect<void>
  /** Resets the open connections. */
  readonly cut: Effect.Effect<void>
  /**
   * Resets the open connections towards the client alone, and keeps what it has sent until `deliver`: a statement that
   * arrives after its client has given it up. New connections work as before.
   */
  readonly strand: Effect.Effect<void>
  /** Lets what was stranded arrive at the server. */
  readonly deliver: Effect.Effect<void>
  /** Resets the open connections but for those that were stranded. */
  readonly cutOthers: Effect.Effect<void>
  /** Closes towards the server what the client has closed without the server's hearing of it. */
  readonly cutDeserted: Effect.Effect<void>

  /** Everything arrives so much later, each way. Zero: at once. */
  readonly delay: (latency: Duration.Input) => Effect.Effect<void>
  /** Each connection carries at most `bytes` at a time, once in `every`, each way; `undefined`: as they come. */
  readonly trickle: (
    rate: { readonly bytes: number; readonly every: Duration.Input } | undefined
  ) => Effect.Effect<void>
  /**
   * Lets `after` more pieces through (0 unless given), counted over all connections, and keeps the rest until
   * `release`. A piece is what the sender wrote at once: for PostgreSQL the answer to a statement, or a notification.
   */
  readonly hold: (direction: Direction, after?: number) => Effect.Effect<void>
  /** Lets go what was held, in order. */
  readonly release: Effect.Effect<void>
  /** How many pieces are on their way, or held. */
  readonly underWay: (direction: Direction) => Effect.Effect<number>

  /** How many connections were attempted, in whatever mode. */
  readonly attempts: Effect.Effect<number>
  /** When they were attempted, in milliseconds of the process's monotonic clock. */
  readonly attemptTimes: Effect.Effect<ReadonlyArray<number>>
  /** How many connections are open. */
  readonly open: Effect.Effect<number>
}

interface Connection extends Readonly<Record<Direction, FaultPipe.FaultPipe>> {
  readonly client: Net.Socket
  readonly server: Net.Socket
}

/**
 * A reset if one can still be sent: asked to reset a socket that has said its last word, Node keeps it, and spins at
 * exit.
 */
const reset = (socket: Net.Socket) => {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** A proxy in front of the server of the tests. */
export const make = Effect.suspend(() => makeTo(new URL(inject("postgresUrl"))))

/** A proxy in front of the server of a URL. */
export const inFrontOf = (url: Redacted.Redacted) => makeTo(new URL(Redacted.value(url)))

/** A proxy in front of any server. */
export const makeTo = Effect.fnUntraced(function* (target: URL) {
  const connections = new Set<Connection>()
  const attempts: Array<number> = []
  const conditions = { toServer: FaultPipe.undisturbed(), toClient: FaultPipe.undisturbed() }
  let mode: "pass" | "black-hole" | "refuse" = "pass"

  const accept = (client: Net.Socket) => {
    attempts.push(performance.now())
    client.on("error", () => {})
    if (mode === "refuse") {
      reset(client)
      return
    }
    const server = Net.connect({ host: target.hostname, port: Number(target.port || 5432), noDelay: true })
    server.on("error", () => {})
    const connection: Connection = {
      client,
      server,
      toServer: FaultPipe.make(client, server, conditions.toServer),
      toClient: FaultPipe.make(server, client, conditions.toClient)
    }
    connections.add(connection)
    if (mode === "black-hole") loseOne(connection)
    const forget = () => {
      if (client.destroyed && server.destroyed) connections.delete(connection)
    }
    client.on("close", forget)
    server.on("close", forget)
  }

  const loseOne = (connection: Connection, direction?: Direction) => {
    if (direction !== "toClient") connection.toServer.lose()
    if (direction !== "toServer") connection.toClient.lose()
  }

  const loseOpen = (direction?: Direction) => {
    for (const connection of connections) loseOne(connection, direction)
  }

  const destroyOpen = (but: (connection: Connection) => boolean = () => false) => {
    for (const connection of connections) {
      if (but(connection)) continue
      reset(connection.client)
      connection.server.destroy()
    }
  }

  const change = (direction: Direction | "both", change: (conditions: FaultPipe.Conditions) => void) =>
    Effect.sync(() => {
      for (const each of ["toServer", "toClient"] as const) {
        if (direction !== "both" && direction !== each) continue
        change(conditions[each])
        for (const connection of connections) connection[each].wake()
      }
    })

  const setMode = (next: typeof mode) =>
    Effect.sync(() => {
      mode = next
    })

  const listening = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer({ noDelay: true }, accept)
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        destroyOpen()
      })
  )
  const { port } = listening.address() as Net.AddressInfo

  const proxy: FaultProxy = {
    through: (url) => {
      const changed = new URL(Redacted.value(url))
      changed.host = `127.0.0.1:${port}`
      return Redacted.make(changed.toString())
    },
    pass: setMode("pass"),
    refuse: setMode("refuse"),
    blackHole: Effect.andThen(
      setMode("black-hole"),
      Effect.sync(() => loseOpen())
    ),
    lose: (direction) => Effect.sync(() => loseOpen(direction)),
    cut: Effect.sync(() => destroyOpen()),
    cutOthers: Effect.sync(() => destroyOpen(({ client }) => client.destroyed)),
    strand: Effect.sync(() => {
      for (const { client, toServer } of connections) {
        toServer.keep(true)
        reset(client)
      }
    }),
    deliver: Effect.sync(() => {
      for (const { client, toServer } of connections) if (client.destroyed) toServer.keep(false)
    }),
    cutDeserted: Effect.sync(() => {
      for (const { client, server } of connections) if (client.destroyed) server.destroy()
    }),
    delay: (latency) =>
      change("both", (conditions) => {
        conditions.latency = Duration.toMillis(latency)
      }),
    trickle: (rate) =>
      change("both", (conditions) => {
        conditions.trickle = rate && { bytes: rate.bytes, every: Duration.toMillis(rate.every) }
      }),
    hold: (direction, after = 0) =>
      change(direction, (conditions) => {
        conditions.passing = after
      }),
    release: change("both", (conditions) => {
      conditions.passing = Number.POSITIVE_INFINITY
    }),
    underWay: (direction) =>
      Effect.sync(() => [...connections].reduce((sum, connection) => sum + connection[direction].waiting(), 0)),
    attempts: Effect.sync(() => attempts.length),
    attemptTimes: Effect.sync(() => attempts.slice()),
    open: Effect.sync(() => connections.size)
  }
  return proxy
})
