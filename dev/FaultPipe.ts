/**
 * One direction of a connection through a fault proxy: bytes arrive in order, or late, or a few at a time, or once they
 * are let go, or never.
 */
import type * as Net from "node:net"

/** What happens to bytes on their way; shared by all connections of a proxy, and changed while they are open. */
export interface Conditions {
  /** Every byte arrives this many milliseconds late. */
  latency: number
  /** At most `bytes` at a time, `every` milliseconds. */
  trickle: { readonly bytes: number; readonly every: number } | undefined
  /** How many more pieces may pass before the rest waits. A piece is what the sender wrote at once. */
  passing: number
}

export const undisturbed = (): Conditions => ({ latency: 0, trickle: undefined, passing: Number.POSITIVE_INFINITY })

export interface FaultPipe {
  /** Looks again at what waits: to be called when the conditions have changed. */
  readonly wake: () => void
  /** From now on everything is lost, also that the sender closed. There is no way back. */
  readonly lose: () => void
  /** Keeps everything back, whatever the conditions say, until it is called with `false`. */
  readonly keep: (kept: boolean) => void
  /** How many pieces wait. */
  readonly waiting: () => number
}

export const make = (from: Net.Socket, to: Net.Socket, conditions: Conditions): FaultPipe => {
  let lost = false
  let kept = false
  let ended = false
  let timer: NodeJS.Timeout | undefined
  const pieces: Array<{ bytes: Buffer; due: number; begun: boolean }> = []

  const wake = () => {
    clearTimeout(timer)
    if (kept) return
    while (!to.destroyed) {
      const piece = pieces[0]
      if (piece === undefined) {
        if (ended) to.destroySoon()
        return
      }
      if (!piece.begun && conditions.passing <= 0) return
      const wait = piece.due - performance.now()
      if (wait > 0) {
        timer = setTimeout(wake, wait)
        return
      }
      if (!piece.begun) conditions.passing--
      piece.begun = true
      deliver(piece)
    }
  }

  const deliver = (piece: (typeof pieces)[number]) => {
    const { trickle } = conditions
    const bytes = trickle === undefined ? piece.bytes : piece.bytes.subarray(0, trickle.bytes)
    to.write(bytes)
    piece.bytes = piece.bytes.subarray(bytes.length)
    if (piece.bytes.length === 0) pieces.shift()
    // Whatever comes next on this connection keeps the distance, also if it is another piece.
    if (trickle !== undefined && pieces[0] !== undefined) {
      pieces[0].due = Math.max(pieces[0].due, performance.now() + trickle.every)
    }
  }

  from.on("data", (bytes) => {
    if (lost) return
    pieces.push({ bytes, due: performance.now() + conditions.latency, begun: false })
    wake()
  })
  from.on("close", () => {
    ended = true
    if (!lost) wake()
  })
  to.on("close", () => clearTimeout(timer))

  return {
    wake,
    lose: () => {
      lost = true
      pieces.length = 0
      clearTimeout(timer)
    },
    keep: (next) => {
      kept = next
      wake()
    },
    waiting: () => pieces.length
  }
}
