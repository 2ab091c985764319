/**
 * The sockets of one client or session.
 *
 * Closing a session politely waits for a peer that may never answer (20 seconds and more, as measured); destroying its
 * socket does not. So sockets are made here and remembered until they close, and what the driver registers for the end
 * of a client or session goes into a scope that destroys them first.
 */
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { keepAliveDelay } from "../../runtime/Timeouts.ts"
import type { PgAddress } from "./PgAddress.ts"
import * as PgPreferredTls from "./PgPreferredTls.ts"

export interface PgSockets {
  /** Opens a socket; to be given to the driver, which puts TLS on top if TLS is required. */
  readonly open: () => Duplex
  /** Destroys all sockets, those too that are opened later. What waits for an answer on one of them fails at once. */
  readonly destroy: Effect.Effect<void>
  /**
   * A scope for the driver, within the one of the caller. Whenever that closes, also while the driver still connects,
   * the sockets are destroyed before the driver takes leave of its peer.
   */
  readonly scope: Effect.Effect<Scope.Scope, never, Scope.Scope>
}

/** `preferTls`: the name of the server, if TLS is to be used if the server takes it. */
export const make = (address: PgAddress, preferTls?: string): PgSockets => {
  const open = new Set<Net.Socket>()
  let destroyed = false
  const destroy = Effect.sync(() => {
    destroyed = true
    for (const socket of open) socket.destroy()
  })
  return {
    open: () => {
      // The driver cancels a statement on a connection of its own: a peer that was abandoned is not asked for that
      // either.
      if (destroyed) return new Net.Socket().destroy()
      // One statement is one write and then a wait: there is nothing for Nagle's algorithm to gather.
      const socket = Net.connect({ ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveDelay })
      open.add(socket)
      socket.once("close", () => open.delete(socket))
      return preferTls === undefined ? socket : PgPreferredTls.over(socket, preferTls)
    },
    destroy,
    scope: Effect.acquireRelease(Scope.make(), (scope, exit) => Effect.andThen(destroy, Scope.close(scope, exit)))
  }
}
