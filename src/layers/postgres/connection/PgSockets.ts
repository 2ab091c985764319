/**
 * The sockets of one client or session.
 *
 * Closing a session politely waits for a peer that may never answer (20 seconds and more, as measured); destroying its
 * socket does not. So sockets are made here and remembered until they close.
 */

import * as Net from "node:net"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import { keepAliveDelay } from "../../runtime/Timeouts.ts"
import type { PgAddress } from "./PgAddress.ts"
import * as PgPreferredTls from "./PgPreferredTls.ts"

export interface PgSockets {
  /** Opens a socket; to be given to the driver, which puts TLS on top if TLS is required. */
  readonly open: () => Duplex
  /** Destroys all open sockets. What waits for an answer on one of them fails at once. */
  readonly destroy: Effect.Effect<void>
}

/** `preferTls`: the name of the server, if TLS is to be used if the server takes it. */
export const make = (address: PgAddress, preferTls?: string): PgSockets => {
  const open = new Set<Net.Socket>()
  return {
    open: () => {
      // One statement is one write and then a wait: there is nothing for Nagle's algorithm to gather.
      const socket = Net.connect({ ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveDelay })
      open.add(socket)
      socket.once("close", () => open.delete(socket))
      return preferTls === undefined ? socket : PgPreferredTls.over(socket, preferTls)
    },
    destroy: Effect.sync(() => {
      for (const socket of open) socket.destroy()
    })
  }
}
