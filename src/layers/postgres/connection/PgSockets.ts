/**
 * The sockets of one client or session.
 *
 * Closing a session politely waits for a peer that may never answer (20 seconds and more, as measured); destroying its
 * socket does not. So sockets are made here and remembered until they close.
 */

import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type { PgAddress } from "./PgAddress.ts"

export interface PgSockets {
  /** Opens a socket; to be given to the driver, which puts TLS on top where it is asked for. */
  readonly open: () => Net.Socket
  /** Destroys all open sockets. What waits for an answer on one of them fails at once. */
  readonly destroy: Effect.Effect<void>
}

/** Keep-alive finds a peer that vanished without a word: probes begin after 10 idle seconds. */
const keepAliveInitialDelay = 10_000

export const make = (address: PgAddress): PgSockets => {
  const open = new Set<Net.Socket>()
  return {
    open: () => {
      // One statement is one write and then a wait: there is nothing for Nagle's algorithm to gather.
      const socket = Net.connect({ ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay })
      open.add(socket)
      socket.once("close", () => open.delete(socket))
      return socket
    },
    destroy: Effect.sync(() => {
      for (const socket of open) socket.destroy()
    })
  }
}
