import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import { until } from "../support/Observe.ts"
import { eventually } from "../support/TestDatabase.ts"

/** A server that sends back what it gets, and remembers it. */
const echoServer = Effect.gen(function* () {
  let heard = ""
  let ended = 0
  const sockets = new Set<Net.Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer({ noDelay: true }, (socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => ended++)
        socket.on("data", (bytes) => {
          heard += bytes.toString()
          socket.write(bytes)
        })
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )
  const { port } = server.address() as Net.AddressInfo
  return { url: new URL(`tcp://127.0.0.1:${port}`), heard: () => heard, ended: () => ended }
})

const behindProxy = Effect.gen(function* () {
  const server = yield* echoServer
  const proxy = yield* FaultProxy.makeTo(server.url)
  const port = Number(new URL(Redacted.value(proxy.through(Redacted.make(server.url.toString())))).port)
  const connect = Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => Net.connect({ port, host: "127.0.0.1", noDelay: true })),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) => {
      const client = { heard: "", chunks: 0, ended: false, failed: false, say: (text: string) => socket.write(text) }
      socket.on("data", (bytes) => {
        client.heard += bytes.toString()
        client.chunks++
      })
      socket.on("error", () => {
        client.failed = true
      })
      socket.on("close", () => {
        client.ended = true
      })
      return Object.assign(client, { close: () => socket.destroy() })
    }
  )
  return { server, proxy, connect }
})

describe("FaultProxy", () => {
  it.live("FaultProxy carries bytes both ways, and the end of either side", () =>
    Effect.gen(function* () {
      const { connect, proxy, server } = yield* behindProxy
      const client = yield* connect
      client.say("hello")
      yield* until("the echo", () => client.heard === "hello")
      client.close()
      yield* until("the server hears of it", () => server.ended() === 1)
      yield* eventually(
        "forgotten",
        Effect.map(proxy.open, (open) => open === 0)
      )
    })
  )

  it.live("cut resets open connections; refuse resets new ones and spares open ones", () =>
    Effect.gen(function* () {
      const { connect, proxy, server } = yield* behindProxy
      const old = yield* connect
      old.say("a")
      yield* until("open", () => old.heard === "a")
      yield* proxy.refuse
      const refused = yield* connect
      yield* until("refused", () => refused.ended)
      old.say("b")
      yield* until("spared", () => old.heard === "ab")
      yield* proxy.cut
      yield* until("cut, at both ends", () => old.failed && server.ended() === 1)
      assert.strictEqual(yield* proxy.attempts, 2)
      const [first, second] = yield* proxy.attemptTimes
      assert.isAtMost(first!, second!)
    })
  )

  it.live("a black hole accepts and swallows; what fell into it stays there, new connections pass again", () =>
    Effect.gen(function* () {
      const { connect, proxy, server } = yield* behindProxy
      const old = yield* connect
      old.say("a")
      yield* until("open", () => old.heard === "a")
      yield* proxy.blackHole
      const fresh = yield* connect
      fresh.say("lost")
      old.say("lost")
      yield* eventually(
        "both have fallen in",
        Effect.map(proxy.attempts, (attempts) => attempts === 2)
      )
      yield* proxy.pass
      const later = yield* connect
      later.say("b")
      yield* until("passes", () => later.heard === "b")
      // What was lost was sent before what has come back.
      assert.strictEqual(server.heard(), "ab")
      old.close()
      later.close()
      yield* until("one end is heard of", () => server.ended() === 1)
      assert.strictEqual(fresh.heard, "")
    })
  )

  it.live("one direction of the open connections can be lost alone", () =>
    Effect.gen(function* () {
      const { connect, proxy, server } = yield* behindProxy
      const client = yield* connect
      client.say("a")
      yield* until("open", () => client.heard === "a")
      yield* proxy.lose("toClient")
      client.say("b")
      yield* until("the server still hears", () => server.heard() === "ab")
      const later = yield* connect
      later.say("c")
      yield* until("new ones pass", () => later.heard === "c")
      assert.strictEqual(client.heard, "a")
    })
  )

  it.live("delay makes everything later and keeps its order", () =>
    Effect.gen(function* () {
      const { connect, proxy } = yield* behindProxy
      const client = yield* connect
      yield* proxy.delay("20 millis")
      const start = performance.now()
      for (const letter of "abcdef") client.say(letter)
      yield* until("all of it", () => client.heard === "abcdef")
      // 20 milliseconds each way; a timer may fire within the millisecond before.
      assert.isAtLeast(performance.now() - start, 38)
      yield* proxy.delay(0)
      client.say("g")
      yield* until("at once again", () => client.heard === "abcdefg")
    })
  )

  it.live("trickle carries a few bytes at a time", () =>
    Effect.gen(function* () {
      const { connect, proxy } = yield* behindProxy
      const client = yield* connect
      yield* proxy.trickle({ bytes: 3, every: "2 millis" })
      const start = performance.now()
      client.say("abcdefghijklmnopqrst")
      yield* until("all of it", () => client.heard === "abcdefghijklmnopqrst")
      // Seven portions, six distances of 2 milliseconds.
      assert.isAtLeast(performance.now() - start, 11)
      assert.isAbove(client.chunks, 1)
      yield* proxy.trickle(undefined)
    })
  )

  it.live("FaultProxy.hold keeps what comes after a number of pieces, until it is released in order", () =>
    Effect.gen(function* () {
      const { connect, proxy, server } = yield* behindProxy
      const client = yield* connect
      client.say("a")
      yield* until("open", () => client.heard === "a")
      yield* proxy.hold("toClient", 1)
      client.say("b")
      yield* until("one more", () => client.heard === "ab")
      client.say("c")
      yield* until("the server still hears", () => server.heard() === "abc")
      yield* eventually(
        "held",
        Effect.map(proxy.underWay("toClient"), (held) => held === 1)
      )
      assert.strictEqual(client.heard, "ab")
      yield* proxy.release
      client.say("d")
      yield* until("released", () => client.heard === "abcd")
      assert.strictEqual(yield* proxy.underWay("toClient"), 0)
    })
  )
})
