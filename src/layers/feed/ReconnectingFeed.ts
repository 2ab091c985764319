/**
 * A feed over sessions that come and go: one session at a time, reconnected for ever. The caller decides what a session
 * is.
 *
 * ```
 *              ┌────────────── a batch of payloads: Changed ◀─┐
 *              ▼                                              │
 *   ▶ Connecting ──▶ open: Connected ──▶ Listening ───────────┘
 *        ▲  │                              │ the session ended
 *        │  └── open failed ──▶ Disconnected ◀
 *        │                           │
 *        └── Backing off ◀───────────┘ a pause of ReconnectSignal
 * ```
 *
 * The state needs no field of its own: a `session` means Listening; without one, a pause that `attempts` has drawn
 * means Backing off, and no pause means Connecting. Each pull of the stream makes one event, in the fiber that consumes
 * the stream, with no fiber in between: a pull without a session waits out the pause and connects. Any failure of a
 * pull, a defect too, is `Disconnected`.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ConnectFailed, ConnectorError } from "../../schema/ConnectorError.ts"
import * as Notification from "../../schema/Notification.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { type FeedEvent, type FeedSession, ListenFeed } from "../../services/ListenFeed.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import { ReconnectSignal } from "./ReconnectSignal.ts"

/** A session that listens: `LISTEN` was confirmed before it is handed over. */
export interface FeedSource {
  readonly diff: FeedSession["diff"]
  readonly verifiedAt?: FeedSession["verifiedAt"]
  /** Called with each batch before `Changed` is emitted: the next `diff` looks at these entries in any case. */
  readonly heard?: ((notifications: ReadonlyArray<Notification.Notification>) => void) | undefined
  /** Waits for a payload and takes all that have arrived, in the order of commit. Fails once the session has ended. */
  readonly payloads: Effect.Effect<ReadonlyArray<string>, ConnectorError>
  /** Abandons the session at once, without a word to the peer. Idempotent. */
  readonly abandon: Effect.Effect<void>
}

/** What one feed remembers between two events. */
interface State {
  /** The session that is open; `undefined` while Connecting or Backing off. */
  session: FeedSource | undefined
  /** The scope of the last session, or of the last attempt to open one. */
  scope: Scope.Closeable | undefined
  /** Attempts in a row that brought no session which was ever read from: what `staleAfterFailures` counts. */
  failures: number
  /** When the session was first read from, by the monotonic clock; `undefined` if it was not yet. */
  confirmedAt: number | undefined
  /** Telemetry of the event before, deferred so that the consumer of that event runs first. */
  afterwards: Effect.Effect<void>
}

/**
 * `open` is called once for each feed. Its effect opens a session that lives as long as the scope, each time it runs.
 */
export const make = Effect.fnUntraced(function* (
  open: (tenant: TenantId) => Effect.Effect<FeedSource, ConnectorError, Scope.Scope>
) {
  const telemetry = yield* Telemetry
  const signal = yield* ReconnectSignal

  const reportMalformed = (tenant: TenantId, malformed: number) =>
    malformed === 0
      ? Effect.void
      : Effect.logDebug("Dropped malformed notifications").pipe(Effect.annotateLogs({ tenant, malformed }))

  /** The effect that makes the next event of a feed, each time it runs. */
  const following = Effect.fnUntraced(function* (tenant: TenantId, scope: Scope.Scope) {
    const attempts = yield* Scope.provide(signal.attempts(tenant), scope)
    const opening = open(tenant)
    const state: State = {
      session: undefined,
      scope: undefined,
      failures: 0,
      confirmedAt: undefined,
      afterwards: Effect.void
    }

    const confirm = Effect.gen(function* () {
      state.confirmedAt = yield* MonotonicClock.millis
      if (state.failures > 0) yield* signal.recovered
      state.failures = 0
    })

    const connected: Effect.Effect<FeedEvent, ConnectorError> = Effect.gen(function* () {
      yield* attempts.pause
      state.confirmedAt = undefined
      state.scope = yield* Scope.fork(scope)
      const session = yield* Scope.provide(opening, state.scope)
      state.session = session
      const { abandon, diff, verifiedAt } = session
      return { _tag: "Connected", session: { confirm, abandon, diff, verifiedAt } }
    })

    const changed = (session: FeedSource): Effect.Effect<FeedEvent, ConnectorError> =>
      Effect.flatMap(session.payloads, (payloads) => {
        const notifications = Arr.getSomes(payloads.map((payload) => Notification.decode(payload)))
        const malformed = payloads.length - notifications.length
        const reported = Effect.andThen(
          reportMalformed(tenant, malformed),
          telemetry.notified(tenant, notifications, malformed)
        )
        if (notifications.length === 0) return Effect.andThen(reported, changed(session))
        session.heard?.(notifications)
        state.afterwards = reported
        return Effect.succeed<FeedEvent>({ _tag: "Changed", notifications })
      })

    const disconnected = (cause: Cause.Cause<ConnectorError>): Effect.Effect<FeedEvent> =>
      Effect.gen(function* () {
        const error = errorOf(tenant, cause)
        state.session = undefined
        // A connector may die while it releases its session: that is no reason to end the feed.
        if (state.scope !== undefined) yield* Effect.exit(Scope.close(state.scope, Exit.fail(error)))
        if (state.confirmedAt === undefined) state.failures++
        // A session that outlived every pause before it was a success, and its loss begins the schedule anew. So a
        // server that accepts, answers once and disconnects is retried with growing delays, and the first loss of an
        // old session is followed by a new one at once.
        else if ((yield* MonotonicClock.millis) - state.confirmedAt >= attempts.longestPause()) yield* attempts.reset
        const retryIn = yield* attempts.backOff
        yield* telemetry.disconnected(tenant, error.reason._tag)
        return { _tag: "Disconnected", error, failures: state.failures, retryIn }
      })

    return Effect.suspend(() => {
      const before = state.afterwards
      state.afterwards = Effect.void
      return Effect.andThen(before, state.session === undefined ? connected : changed(state.session))
      // Causes that are no typed error too: a connector that dies, or interrupts itself, must not end the feed.
    }).pipe(Effect.catchCause(disconnected))
  })

  return ListenFeed.of({
    events: (tenant) =>
      Stream.fromChannel(Channel.fromTransform((_, scope) => Effect.map(following(tenant, scope), Effect.map(Arr.of))))
  })
})

const errorOf = (tenant: TenantId, cause: Cause.Cause<ConnectorError>): ConnectorError =>
  Option.getOrElse(Cause.findErrorOption(cause), () => ConnectorError.of(tenant, new ConnectFailed({})))
