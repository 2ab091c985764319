/**
 * Reads a tenant's table on the session of its feed, one read at a time, and no sooner than its pace allows.
 *
 * ```
 *   no session ── connected ──▶ reading ── done ──▶ idle ── a verification is due ──▶ reading
 *                                 │  ▲               └───── a notification ─────────▶ paused
 *       a notification meanwhile: │  └─ its pace, or a verification ─ paused ◀──────────┘
 *       once more after the read  └── done ──▶ paused
 *
 *   any state ── abandoned ──▶ reading nothing more on this session ── disconnected ──▶ no session
 * ```
 *
 * A read answers all notifications that came before it began. So one that comes during a read is answered by one more
 * read after it, however many there were, and a verification that is asked for during a read is not needed. Only reads
 * that a notification prompts are held back (ReadPace), until a verification is due: then that read is one. The reader
 * does not know what a read is: FeedFollower supplies it with each session.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberHandle from "effect/FiberHandle"
import * as ReadPace from "../../schema/ReadPace.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"

/** Why everything is read: the feed connected, something was notified, or nothing was for a while. */
export type Reason = "connect" | "notification" | "verify"

/**
 * Reads everything on one session. Returns how long the answer took, in milliseconds; `undefined` if it abandoned the
 * session.
 */
export type Read = (reason: Reason) => Effect.Effect<number | undefined>

export interface SerialReader {
  /** A session is there: everything is read at once, and from now on by `read`. */
  readonly connected: (read: Read) => void
  /** Has everything read, now or after the read under way. Does nothing without a session. */
  readonly ask: (reason: Reason) => void
  /** Runs an effect that abandons the session, in the place of the read under way, which is interrupted. */
  readonly abandon: (abandoning: Effect.Effect<void>) => void
  /** The session is gone. Returns once nothing runs on it any more. */
  readonly disconnected: Effect.Effect<void>
}

interface State {
  /** Reads on the session that is there; `undefined` without one. */
  read: Read | undefined
  /** Whether a read is under way, or waits for its pace. */
  reading: boolean
  /** Whether something was notified since that read began. */
  notified: boolean
  /** Done if the read that waits for its pace may wait no longer; `undefined` while none waits. */
  pause: Deferred.Deferred<void> | undefined
  /** How soon a notification may prompt a read. It outlives the session: the table costs as much on the next one. */
  pace: ReadPace.ReadPace
}

/** A reader of one tenant, as long as the scope. */
export const make = Effect.gen(function* () {
  const running = yield* FiberHandle.make<void, never>()
  const fork = yield* FiberHandle.runtime(running)<never>()
  const state: State = {
    read: undefined,
    reading: false,
    notified: false,
    pause: undefined,
    pace: ReadPace.initial(yield* MonotonicClock.millis)
  }

  /** Waits until a notification may prompt a read, or a verification is due. */
  const paced = Effect.flatMap(MonotonicClock.millis, (now) => {
    const delay = ReadPace.delay(state.pace, now)
    if (delay <= 0) return Effect.void
    const pause = Deferred.makeUnsafe<void>()
    state.pause = pause
    return Effect.timeoutOption(Deferred.await(pause), delay)
  })

  const reads = Effect.fnUntraced(function* (read: Read, first: Reason) {
    for (let reason = first; ; reason = "notification") {
      if (reason === "notification") yield* paced
      // Before the read, so that what arrives during it is read again.
      state.notified = false
      state.pause = undefined
      const took = yield* read(reason)
      // Abandoned: nothing is read until the next session.
      if (took === undefined) return
      state.pace = ReadPace.afterRead(state.pace, took, yield* MonotonicClock.millis)
      if (state.notified) continue
      state.reading = false
      return
    }
  })

  const ask = (reason: Reason): void => {
    if (state.read === undefined) return
    if (state.reading) {
      state.notified ||= reason === "notification"
      if (reason === "verify" && state.pause !== undefined) Deferred.doneUnsafe(state.pause, Exit.void)
      return
    }
    state.reading = true
    fork(reads(state.read, reason))
  }

  const reader: SerialReader = {
    connected: (read) => {
      state.read = read
      state.reading = false
      ask("connect")
    },
    ask,
    abandon: (abandoning) => {
      if (state.read !== undefined) fork(abandoning)
    },
    disconnected: Effect.suspend(() => {
      state.read = undefined
      return FiberHandle.clear(running)
    })
  }
  // Added last, hence run first: nothing begins a read while the one under way is being ended.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      state.read = undefined
    })
  )
  return reader
})
